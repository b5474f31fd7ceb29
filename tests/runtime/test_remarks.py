"""What engines' libraries say of themselves stays off the terminal, and nothing else does."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle
from edgeskel.runtime.engines import obstacle
from edgeskel.runtime.engines._remarks import remarks_kept


def test_a_library_that_remarks_on_the_processor_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noisy_engine.py").write_text("import os\nos.write(2, b'Error in cpuinfo: unknown vendor\\n')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert obstacle("noisy_engine", "pip install noisy") is None and "noisy_engine" in sys.modules
    print("heard", file=sys.stderr)
    assert capfd.readouterr().err == "heard\n"


def test_an_engine_that_refuses_says_so_once(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from .conftest import seal

    (bundle / "model.onnx").write_bytes(b"not a graph")
    seal(bundle)
    opened = Bundle.open(bundle)
    with pytest.raises(Exception, match="refuses it"):
        engines.get("onnxruntime")(bundle / "model.onnx", opened.manifest)
    assert capfd.readouterr().err == ""


def test_threads_that_load_engines_at_once_leave_stderr_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        for _ in range(50):
            with remarks_kept():
                os.write(2, b"Failed to start profiling\n")

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("heard", file=sys.stderr)
    assert capfd.readouterr().err == "heard\n"
