"""An artifact that takes its engine's process down, under a right signature, is a refused release and never a dead service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeskel.runtime.bundle import Bundle, file_digest
from export.bundle import write_manifest
from targets.flash import packing, signing
from tests.targets.waiting import LIMIT_S, until


@pytest.fixture(scope="module")
def pte_bundle(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the host target that ExecuTorch alone runs."""
    bundle = Path(shutil.copytree(bundle_folder, tmp_path_factory.mktemp("pte") / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    kept = ("model.pte", "checkpoint/model.safetensors")
    manifest["artifacts"] = [entry for entry in manifest["artifacts"] if entry["file"] in kept]
    (bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    resealed(bundle)
    return bundle


def resealed(folder: Path) -> None:
    """The manifest fits whatever lies there, as its maker could write it."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["files"] = {name: file_digest(folder / name) for name in manifest["files"]}
    for artifact in manifest["artifacts"]:
        artifact["sha256"] = manifest["files"][artifact["file"]]
    write_manifest(folder, manifest)


def called(release: Path, verb: str, *arguments: object) -> tuple[int, dict[str, Any]]:
    """One verb of the release's program: its exit status, and the last object that it prints."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(release / "program"), verb, "--release", str(release), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * LIMIT_S,  # an artifact that keeps its engine busy is ended after four minutes
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, answer


# Where flips ended the process by SIGSEGV, SIGABRT or for ever in a file like this one, and a few that did not.
@pytest.mark.parametrize("place", [99, 4007, 7147, 14620, 30000, 50000])
def test_a_flipped_bit_in_a_signed_program_file_is_an_answer(
    pte_bundle: Path, key: signing.Key, tmp_path: Path, place: int
) -> None:
    bundle = Path(shutil.copytree(pte_bundle, tmp_path / "bundle"))
    model = bundle / "model.pte"
    content = bytearray(model.read_bytes())
    content[place] ^= 1 << (place % 8)
    model.write_bytes(content)
    resealed(bundle)
    packing.pack(Bundle.open(bundle), tmp_path / "release", key, packing.ReleaseSettings())
    status, answer = called(tmp_path / "release", "prove")
    assert status in (0, 1) and (("result" in answer) == (status == 0))
    if status:
        assert answer["error"]["seen"]


_CRASH = "        import onnxruntime\n"
_CRASHES = f"""{_CRASH}        import signal
        if artifact.name in {{artifacts!r}}:
            os.kill(os.getpid(), signal.SIGSEGV)
"""


def crashing(host_bundle: Path, key: signing.Key, out: Path, *artifacts: str) -> Path:
    """A release in which loading these artifacts ends the process, as a damaged one does to a native engine."""
    program = packing.program_files()
    file = "edgeskel/runtime/engines/onnxruntime.py"
    assert _CRASH in program[file].decode()
    program[file] = program[file].decode().replace(_CRASH, _CRASHES.format(artifacts=artifacts)).encode()
    packing.pack(Bundle.open(host_bundle), out, key, packing.ReleaseSettings("golden:?speed=0"), program=program)
    return out


@pytest.fixture(scope="module")
def two_artifacts(host_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with a second artifact that passes for int8, whatever int8 is worth on this processor."""
    bundle = Path(shutil.copytree(host_bundle, tmp_path_factory.mktemp("two") / "bundle"))
    shutil.copyfile(bundle / "model.onnx", bundle / "model.int8.onnx")
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    first = next(entry for entry in manifest["artifacts"] if entry["file"] == "model.onnx")
    others = [entry for entry in manifest["artifacts"] if entry["file"] != "model.int8.onnx"]
    manifest["artifacts"] = [*others, {**first, "file": "model.int8.onnx", "precision": "int8"}]
    manifest["files"]["model.int8.onnx"] = ""
    (bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    resealed(bundle)
    return bundle


def test_the_signal_is_named(two_artifacts: Path, key: signing.Key, tmp_path: Path) -> None:
    release = crashing(two_artifacts, key, tmp_path / "release", "model.onnx", "model.int8.onnx")
    status, answer = called(release, "prove")
    assert status == 1 and "model.onnx on onnxruntime ended its process by SIGSEGV" in answer["error"]["seen"]
    assert "model.int8.onnx" in answer["error"]["seen"] and "export anew" in answer["error"]["remedy"]


@pytest.mark.parametrize(("broken", "left"), [("model.int8.onnx", "model.onnx"), ("model.onnx", "model.int8.onnx")])
def test_the_other_artifact_is_still_tried(
    two_artifacts: Path, key: signing.Key, tmp_path: Path, broken: str, left: str
) -> None:
    release = crashing(two_artifacts, key, tmp_path / "release", broken)
    status, answer = called(release, "prove")
    assert status == 0 and answer["result"]["chosen"]["artifact"] == left
    assert "SIGSEGV" in answer["result"]["refused"][broken]


def test_the_service_loads_nothing_that_ends_a_process(host_bundle: Path, key: signing.Key, tmp_path: Path) -> None:
    release = crashing(host_bundle, key, tmp_path / "release", "model.onnx")
    chosen = {"artifact": "model.onnx", "engine": "onnxruntime", "precision": "fp32"}
    (tmp_path / "choice.json").write_text(json.dumps({"choice": {"chosen": chosen, "proved_with": "another engine"}}))
    status, answer = called(release, "serve", "--choice", tmp_path / "choice.json")
    assert status == 1 and "SIGSEGV" in answer["error"]["seen"]


def _await_health(place: Path, process: subprocess.Popen[str]) -> None:
    until(lambda: (place / "run/health.json").exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()


def test_what_was_proved_here_is_not_proved_again(
    host_bundle: Path, key: signing.Key, key_path: Path, tmp_path: Path
) -> None:
    """The service starts as it was proved; after an upgrade of its engine it proves first. Which one it did, its own child says."""
    program = packing.program_files()
    main = "targets/service/main.py"
    enter = b"    isolation.enter_child()\n"
    assert enter in program[main]
    program[main] = program[main].replace(enter, enter + b"    print('asked', file=sys.stderr)\n")
    packing.pack(Bundle.open(host_bundle), tmp_path / "first", key, packing.ReleaseSettings(), program=program)
    status, answer = called(tmp_path / "first", "prove")
    assert status == 0 and answer["result"]["proved_with"]
    for environment, asked in ((answer["result"]["proved_with"], 0), ("onnxruntime of last year", 1)):
        place = tmp_path / str(asked)
        place.mkdir()
        choice = {"chosen": answer["result"]["chosen"], "proved_with": environment}
        (place / "choice.json").write_text(json.dumps({"choice": choice}))
        (place / "run").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", tmp_path / "first/program", "serve", "--release", tmp_path / "first",
             "--choice", place / "choice.json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "RUNTIME_DIRECTORY": str(place / "run")},
        )
        assert process.stderr is not None
        _await_health(place, process)
        process.terminate()
        assert process.communicate(timeout=LIMIT_S)[1].count("asked") == asked


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"choice": 3}', b'{"choice": {"chosen": []}}', b"\xff", b"[" * 5000])
def test_a_damaged_choice_is_named(host_bundle: Path, key: signing.Key, tmp_path: Path, content: bytes) -> None:
    packing.pack(Bundle.open(host_bundle), tmp_path / "release", key, packing.ReleaseSettings())
    (tmp_path / "choice.json").write_bytes(content)
    status, answer = called(tmp_path / "release", "serve", "--choice", tmp_path / "choice.json")
    assert status == 1 and "does not say what this release runs" in answer["error"]["seen"]
