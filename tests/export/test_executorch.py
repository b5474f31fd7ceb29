"""A lone ``.pte`` says what it is."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from edgeskel.data import synthetic
from edgeskel.runtime.bundle import Bundle


@pytest.mark.parametrize("name", ["model.pte", "model.int8.pte"])
def test_labels_and_window_are_inside(bundle_folder: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own upkeep, in modules of many names
        from executorch.runtime import Runtime

    program = Runtime.get().load_program((bundle_folder / name).read_bytes())

    def read(method: str) -> object:
        return program.load_method(method).execute([])[0]

    assert json.loads(str(read("labels"))) == list(synthetic.actions()[:6])
    assert (read("persons"), read("frames"), read("rate_hz"), read("hop")) == (1, 32, 30.0, 8)
    assert json.loads(str(read("topology")))["name"] == "kinect-v1"
    assert read("name") == "small" and read("version")


def test_one_delegate_takes_every_operator(bundle_folder: Path) -> None:
    entries = {artifact.file: artifact.details for artifact in Bundle.open(bundle_folder).artifacts}
    for name in ("model.pte", "model.int8.pte"):
        assert (entries[name]["delegates"], entries[name]["undelegated"]) == (1, {})
