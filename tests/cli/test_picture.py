"""The live pictures, read back by rerun's own program: what is in them, under which names, laid out how."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeskel.runtime import EventConfig, load
from firmware_bridge.fusion import Origin
from firmware_bridge.viewer import CAMERA_COLOUR, COLOURS, LEGEND
from tests.runtime.conftest import write_bundle
from tests.runtime.test_motion import arm_moves

THEMES = ((13, 16, 17), (255, 255, 255))  # rerun's dark and light backgrounds


def contents(file: Path) -> str:
    rerun = Path(sys.executable).with_name("rerun")
    if not rerun.exists():
        pytest.skip("needs rerun: pip install 'edgeskel[viewer]'")
    return subprocess.run([str(rerun), "rrd", "print", "-v", str(file)], capture_output=True, text=True, check=True).stdout


def test_a_run_is_laid_out_and_its_labels_have_names(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="needs rerun: pip install 'edgeskel[viewer]'")
    from edgeskel.cli.picture import LivePicture

    write_bundle(tmp_path / "bundle")
    session = load(tmp_path / "bundle", engine="onnxruntime", threads=1, config=EventConfig(threshold=0.3, begin=0.3))
    picture = LivePicture(session, tmp_path / "seen.rrd", [(1.0, 3.0, "raise both arms/up")])
    for frame in arm_moves([(1.0, 3.0)], 4.5):
        picture.show(frame, session.step(frame))
    picture.show(frame, session.finish())
    picture.close()
    text = contents(tmp_path / "seen.rrd")
    assert "raise\\ both\\ arms\\/up" in text  # one part of a path, and not three
    assert "/actions/recognised/front" in text and "/scores/0/front" in text
    assert "Blueprint" in text and len(set(re.findall(r"/view/([0-9a-f-]+)", text))) == 5  # and no plot for each label


def test_fused_joints_can_be_told_from_the_background_and_from_each_other() -> None:
    shown = [COLOURS[origin] for origin in Origin if origin is not Origin.MISSING] + [CAMERA_COLOUR]
    for number, colour in enumerate(shown):
        others = [*THEMES, *shown[:number]]
        assert min(np.abs(np.array(colour) - other).sum() for other in others) > 100, colour
    assert all(word in LEGEND for word in ("sensors", "camera", "inferred"))
