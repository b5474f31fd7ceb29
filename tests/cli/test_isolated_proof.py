"""A damaged ``.pte`` under a manifest that fits it is a refused artifact for every verb that runs one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.runtime.bundle import Bundle
from firmware_bridge.recording import save_recording
from tests.conftest import ROOT
from tests.targets.test_engines_apart import resealed

pytest.importorskip("executorch", reason="pip install 'edgeskel[export-mobile]'")
# Flips bits of a .pte, one after the other, and says the first place where that ends the process by a signal (one in thirty or so).
FIND = """
import os, sys
from pathlib import Path
from edgeskel.runtime.bundle import Bundle
from edgeskel.runtime.engines.executorch import ExecuTorchEngine
bundle, scratch = Bundle.open(sys.argv[1]), Path(sys.argv[2])
content = (bundle.path / "model.pte").read_bytes()
joints, confidence = bundle.golden.joints[:1], bundle.golden.confidence[:1]
for place in range(1009, len(content), 211):
    scratch.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1:])
    child = os.fork()
    if not child:
        try:
            ExecuTorchEngine(scratch, bundle.manifest, 1)(joints, confidence)
        finally:
            os._exit(0)
    if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        sys.exit(print(place))
sys.exit("no flip ended the process")
"""
HARMLESS = 30000


@pytest.fixture(scope="module")
def damaged(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bundles of one ``.pte`` with one flipped bit, of which the first ends the process that runs it."""
    found = subprocess.run([sys.executable, "-c", FIND, bundle_folder, tmp_path_factory.mktemp("flips") / "model.pte"],
                           capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    made = []
    for place in (int(found.stdout), HARMLESS):
        bundle = Path(shutil.copytree(bundle_folder, tmp_path_factory.mktemp("damaged") / "bundle"))
        content = bytearray((bundle / "model.pte").read_bytes())
        content[place] ^= 1 << (place % 8)
        (bundle / "model.pte").write_bytes(content)
        manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
        kept = ("model.pte", "checkpoint/model.safetensors")
        manifest["artifacts"] = [entry for entry in manifest["artifacts"] if entry["file"] in kept]
        (bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        resealed(bundle)
        made.append(bundle)
    return made


def called(cache: Path, *words: object) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([sys.executable, "-m", "edgeskel", *map(str, words), "--json"], capture_output=True, text=True,
                          check=False, cwd=ROOT, timeout=600,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache)})
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_no_flipped_bit_ends_a_program(damaged: list[Path], tmp_path: Path) -> None:
    golden = Bundle.open(damaged[0]).golden
    recording = tmp_path / "some.npz"
    save_recording(recording, golden.joints[0], golden.confidence[0], np.arange(golden.joints.shape[2]) / 30,
                   topologies.get("kinect-v1"))
    refused = 0
    for bundle in damaged:
        run = ("run", f"replay:{recording}?speed=0", "--bundle", bundle, "--engine", "executorch")
        for words in (("verify", bundle), run)[: 2 if bundle is damaged[0] else 1]:
            status, data = called(tmp_path / "cache", *words)
            assert status in (0, 1)
            if "ended its process by SIG" in str(data.get("error")):
                assert status == 1 and data["error"]["seen"].startswith("model.pte on executorch")
                assert "export anew" in data["error"]["remedy"]
                refused += 1
    assert refused  # else these places prove nothing any more


def test_what_came_through_is_not_asked_again(bundle_folder: Path, tmp_path: Path) -> None:
    status, _ = called(tmp_path, "bench", bundle_folder, "--engine", "executorch", "--runs", "2")
    assert status == 0
    proofs = {path: path.stat().st_mtime_ns for path in (tmp_path / "edgeskel" / "proved").iterdir()}
    assert len(proofs) == 2  # fp32 and int8
    status, _ = called(tmp_path, "bench", bundle_folder, "--engine", "executorch", "--runs", "2")
    assert status == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "edgeskel" / "proved").iterdir()} == proofs
