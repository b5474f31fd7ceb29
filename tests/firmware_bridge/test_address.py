"""Addresses come apart where their writer meant it, question marks in names and files included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel import topologies
from firmware_bridge import open_source
from firmware_bridge.address import split_address, with_options
from firmware_bridge.recording import save_recording
from firmware_bridge.transports import open_transport


@pytest.mark.parametrize(("address", "place", "options"), [
    ("ble:Movella DOT?protocol=dot", "Movella DOT", {"protocol": "dot"}),
    ("ble:Who?", "Who?", {}),
    ("ble:Who??protocol=dot", "Who?", {"protocol": "dot"}),
    ("ble:Is it on? Yes?protocol=dot&seconds=3", "Is it on? Yes", {"protocol": "dot", "seconds": "3"}),
    ("ble:a?b=c%3F?protocol=dot", "a?b=c?", {"protocol": "dot"}),
    ("ble:a%3Fb=c", "a?b=c", {}),
    ("replay:100%.npz?speed=0", "100%.npz", {"speed": "0"}),
    ("wearable:body.toml?replay=what?.mcap", "body.toml", {"replay": "what?.mcap"}),
    ("serial:/dev/ttyUSB0?protocol=node&name=", "/dev/ttyUSB0", {"protocol": "node", "name": ""}),
])
def test_place_and_options(address: str, place: str, options: dict[str, str]) -> None:
    assert split_address(address)[1:] == (place, options)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_every_place_and_every_value_can_be_written(place: str, value: str) -> None:
    written = place.replace("%", "%25").replace("?", "%3F")
    assert split_address(with_options(f"replay:{written}", device=value)) == ("replay", place, {"device": value})


def test_a_device_and_a_file_with_a_question_mark_in_its_name(tmp_path: Path) -> None:
    assert open_transport("ble:Who??protocol=dot").address == "ble:Who?"
    file = tmp_path / "what?.npz"
    save_recording(file, np.zeros((1, 3, 20, 3)), np.ones((1, 3, 20)), np.arange(3) / 30, topologies.get("kinect-v1"), [])
    with open_source(f"replay:{file}?speed=0") as source:
        assert len(list(source)) == 3
