"""The list of devices that may speak."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeskel.errors import CorruptFile, UsageError
from firmware_bridge.device_allowlist import DeviceAllowlist, identity_of


def test_what_is_enrolled_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "config" / "devices.json"
    allowlist = DeviceAllowlist(path)
    assert len(allowlist) == 0 and not allowlist.admits("ble:AA:BB:CC:DD:EE:FF")
    allowlist.add("ble:aa:bb:cc:dd:ee:ff", "left wrist")
    allowlist.add("serial:N01")
    again = DeviceAllowlist(path)
    assert dict(again.names) == {"ble:AA:BB:CC:DD:EE:FF": "left wrist", "serial:N01": ""}
    assert again.admits("ble:AA:bb:CC:DD:EE:FF") and again.admits("serial:N01") and not again.admits("serial:n01")
    again.remove("ble:AA:BB:CC:DD:EE:FF")
    assert list(DeviceAllowlist(path)) == ["serial:N01"]


def test_a_udp_host_may_send_from_any_port_unless_one_was_named() -> None:
    allowlist = DeviceAllowlist()
    allowlist.add("udp:10.0.0.7")
    allowlist.add("udp:10.0.0.8:4210")
    assert allowlist.admits("udp:10.0.0.7:1") and allowlist.admits("udp:10.0.0.8:4210")
    assert not allowlist.admits("udp:10.0.0.8:4211") and not allowlist.admits("udp:10.0.0.70:1")
    assert not allowlist.admits("nonsense") and not allowlist.admits("ble:10.0.0.7")


@pytest.mark.parametrize("text", ["", "AA:BB", "ble:", "wifi:x", "ble"])
def test_what_is_no_identity_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="ble:ADDRESS, serial:NUMBER or udp:HOST"):
        identity_of(text)


def test_removing_a_stranger_lists_who_there_is(tmp_path: Path) -> None:
    allowlist = DeviceAllowlist(tmp_path / "devices.json")
    allowlist.add("serial:N01")
    with pytest.raises(UsageError, match="one of serial:N01"):
        allowlist.remove("serial:N02")


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{", b'{"version": 1}', b'{"version": 2, "devices": []}', b'{"version": 1, "devices": [{"identity": "x"}]}',
    b'{"version": 1, "devices": [{"identity": "wifi:x", "name": ""}]}', b"\xff\xfe", b'{"version": 1, "devices": 3}',
])
def test_a_damaged_list_admits_nobody_and_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "devices.json"
    path.write_bytes(content)
    with pytest.raises(CorruptFile):
        DeviceAllowlist(path)
    assert path.read_bytes() == content


def test_a_list_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    allowlist = DeviceAllowlist(path)
    path.mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        allowlist.add("serial:N01")
    assert not allowlist.admits("serial:N01") and list(tmp_path.iterdir()) == [path]


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    allowlist = DeviceAllowlist(tmp_path / "devices.json")
    allowlist.add("serial:N01", "Knöchel")
    assert json.loads((tmp_path / "devices.json").read_text(encoding="utf-8")) == {
        "version": 1, "devices": [{"identity": "serial:N01", "name": "Knöchel"}]}
