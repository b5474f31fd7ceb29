"""A package that is installed beside edgeskel brings a recogniser, an importer and a codec, and all commands know them by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = '''
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "throw-away"
version = "1.2"
[project.entry-points."edgeskel.recognisers"]
pooled = "throw_away.pooled"
absent = "throw_away.nowhere"
edge = "throw_away.pooled"
[project.entry-points."edgeskel.importers"]
my-lab = "throw_away.my_lab"
[project.entry-points."edgeskel.codecs"]
my-band = "throw_away.my_band:MyBandCodec"
[tool.setuptools]
packages = ["throw_away"]
'''
POOLED = '''
from dataclasses import dataclass
from torch import nn
from edgeskel.models import Encoder, RecogniserConfig, register

@dataclass(frozen=True, kw_only=True)
class PooledConfig(RecogniserConfig):
    width: int = 8

@register("pooled", PooledConfig)
class Pooled(Encoder):
    """One layer at every joint of every frame, then the mean."""

    def __init__(self, config):
        super().__init__(config)
        self.width = config.width
        self.layer = nn.Conv2d(self.streams.channels, config.width, 1)

    def maps(self, streams):
        return self.layer(streams).relu()
'''
MY_LAB = '''
import numpy as np
from edgeskel import topologies
from edgeskel.data.importers.common import Recordings, make_clip
from edgeskel.data.importers.finding import find

def recordings(folder, options):
    files = find(folder, "*.walk", "my lab")
    clips = (make_clip(np.full((1, 20, 20, 3), 1 + float(file.read_text())), options, source=file.name, rate_hz=30,
                       label=file.stem.split("_")[0]) for file in files)
    return Recordings("my-lab", topologies.get("kinect-v1"), ("run", "walk"), 30.0, len(files), clips)
'''
MY_BAND = '''
from firmware_bridge.codecs import CodecCounts
from firmware_bridge.samples import Reading

class MyBandCodec:
    """Three numbers in ASCII, m/s²."""
    name, gatt, sequence_bits, clock_bits, clock_tick_us = "my-band", None, None, None, 1.0

    def __init__(self):
        self.counts = CodecCounts()

    def decode(self, chunk):
        self.counts.frames += 1
        return [Reading(acceleration=tuple(map(float, chunk.data.split())))]

    def start(self, rate_hz=None):
        return ()

    def stop(self):
        return ()

    def reply(self, chunk):
        return ()

    def reset(self):
        pass
'''


@pytest.fixture(scope="module")
def installed(once: Callable[..., Path]) -> Path:
    """The package as pip installs it, in a folder of its own."""
    return once("plugins", _install)


def _install(out: Path) -> None:
    source = out.parent / "throw-away-source"
    (source / "throw_away").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT)
    for name, text in (("__init__", ""), ("pooled", POOLED), ("my_lab", MY_LAB), ("my_band", MY_BAND)):
        (source / "throw_away" / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target"]
    done = subprocess.run([*command, str(out), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def edgeskel(words: list[str], *paths: Path) -> tuple[int, Any]:
    return _run([*words, "--json"], ["-m", "edgeskel.cli.main"], *paths)


def python(code: str, *paths: Path) -> tuple[int, Any]:
    return _run([], ["-c", code], *paths)


def _run(words: list[str], how: list[str], *paths: Path) -> tuple[int, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *paths)))}
    done = subprocess.run([sys.executable, *how, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_recogniser_of_another_package_is_trained_saved_and_opened(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="pip install 'edgeskel[train]'")
    for label in ("walk", "run"):
        for index in range(4):
            (tmp_path / f"{label}_{index}.walk").write_text(str(index + (label == "run")))
    store = tmp_path / "store"
    status, done = edgeskel(["data", "import", "my-lab", str(tmp_path), "--out", str(store)], installed)
    assert status == 0 and done["clips"] == 8
    assert edgeskel(["data", "import", "my-lab", str(tmp_path), "--out", str(store)])[1]["error"]["type"] == "UnknownChoice"
    status, done = edgeskel(["train", "--data", str(store), "--out", str(tmp_path / "model"), "--recogniser", "pooled",
                             "--protocol", "random", "--epochs", "1", "--settings", "width=6"], installed)
    assert status == 0, done
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["recogniser"], config["package"], config["width"]) == ("pooled", "throw-away 1.2", 6)
    shown = ["evaluate", str(tmp_path / "model"), "--data", str(store)]
    assert edgeskel(shown, installed)[0] == 0
    status, done = edgeskel(shown)
    assert status == 1 and done["error"]["type"] == "ModelError" and done["error"]["remedy"] == "pip install throw-away"
    assert "comes with the package throw-away 1.2, which is not installed" in done["error"]["seen"]


def test_what_cannot_be_imported_or_comes_twice_is_refused_by_name_and_the_rest_goes_on(installed: Path) -> None:
    pytest.importorskip("torch", reason="pip install 'edgeskel[train]'")
    code = """
import json
from edgeskel import models
from edgeskel.errors import UsageError
said = []
for name in ("absent", "edge", "nonesuch"):
    try:
        models.registered(name)
    except UsageError as error:
        said.append(str(error))
print(json.dumps([said, models.registered("hyperformer")[0].__name__, models.names()]))
"""
    _, (said, ours, names) = python(code, installed)
    assert "throw_away.nowhere cannot be imported" in said[0] and "pip install --upgrade throw-away" in said[0]
    assert "comes with edgeskel and with throw-away" in said[1]
    assert ours == "Hyperformer" and set(names) == {"absent", "edge", "edge-live", "fused", "fused-live", "hyperformer", "pooled"}


def test_a_codec_of_another_package_decodes_at_its_address(installed: Path) -> None:
    code = """
import json
from firmware_bridge import codecs
from firmware_bridge.samples import Chunk
from firmware_bridge.transports import open_transport
open_transport("udp:0?protocol=my-band")
try:
    open_transport("udp:0?protocol=my-band&mode=7")
    said = ""
except Exception as error:
    said = str(error)
readings = codecs.create("my-band").decode(Chunk(b"0 9.8 0", 0))
print(json.dumps([readings[0].acceleration, "my-band" in codecs.names(), said]))
"""
    _, (acceleration, known, said) = python(code, installed)
    assert acceleration == [0, 9.8, 0] and known and "mode" in said
    status, answer = python("import json; from firmware_bridge import codecs; print(json.dumps('my-band' in codecs.names()))")
    assert status == 0 and answer is False
