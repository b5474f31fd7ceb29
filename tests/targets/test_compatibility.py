"""What stands in the way of a flash is named from a probe's facts, all of it at once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from edgeskel.errors import DeviceError
from targets.device import compatibility, probe
from targets.device.compatibility import Requirements

PLACE = {
    "free_mb": 5000.0,
    "writable": True,
    "foreign": False,
    "blocked": None,
    "closed": None,
    "no_programs": False,
    "read_only": False,
    "tool": False,
    "trusted": False,
    "install": None,
    "state": None,
}
JETSON: dict[str, Any] = {
    "hostname": "orin",
    "machine": "aarch64",
    "board": "NVIDIA Jetson Orin Nano",
    "l4t": "36.4.3",
    "sm": "87",
    "python": "3.10.12",
    "executable": "/usr/bin/python3",
    "clock": 1.8e9,
    "uid": 1000,
    "user": "nvidia",
    "sudo": True,
    "ssh_keygen": True,
    "systemd": {"version": 249, "user": True, "linger": True},
    "memory_mb": 7600.0,
    "memory_free_mb": 5000.0,
    "numpy": "1.21.5",
    "onnxruntime": None,
    "tensorrt": "10.3.0",
    "power_mode": "15W",
    "temperature_c": 48.0,
    "prefixes": {"user": "/home/nvidia/.local/share/edgeskel", "system": "/opt/edgeskel"},
    "places": {"/opt/edgeskel": PLACE},
}
REQUIRED = Requirements("jetson", "system", "/opt/edgeskel", needed_mb=100, clock=1.8e9)


def test_a_jetson_takes_a_jetson_bundle() -> None:
    compatibility.require(JETSON, REQUIRED)
    line = compatibility.line(JETSON)
    assert "L4T 36.4.3" in line and "TensorRT 10.3.0" in line and "SM 87" in line and "15W" in line and "48 °C" in line


@pytest.mark.parametrize(
    ("facts", "wanted", "seen", "remedy"),
    [
        ({"python": "3.8.10"}, {}, "Python is 3.8.10", "python3.10"),
        ({"numpy": None}, {}, "no numpy", "apt install python3-numpy"),
        ({"ssh_keygen": False}, {}, "no ssh-keygen", "openssh-client"),
        ({}, {"python": "3.12", "machine": "aarch64", "target": "host"}, "engine is built for 3.12", "--python 3.10"),
        ({"machine": "armv7l"}, {"target": "host"}, "processor is armv7l", "own processor"),
        ({}, {"target": "host", "machine": "x86_64", "python": "3.10"}, "the release is for x86_64", "own processor"),
        ({}, {"target": "android"}, "made for android", "--target host"),
        (
            {"l4t": None, "sm": None, "tensorrt": None, "board": "PC"},
            {},
            "made for jetson, the device is PC",
            "--target host",
        ),
        ({"tensorrt": None}, {}, "no TensorRT", "nvidia-jetpack"),
        (
            {"tensorrt": None, "tensorrt_error": "ImportError: libnvinfer.so.10"},
            {},
            "libnvinfer.so.10",
            "nvidia-jetpack",
        ),
        ({"sudo": False}, {}, "cannot become root", "--scope user"),
        ({"systemd": {"version": None, "user": False, "linger": False}}, {}, "systemd does not run", "--scope none"),
        (
            {"systemd": {"version": 249, "user": True, "linger": False}},
            {"scope": "user"},
            "when it logs out",
            "enable-linger nvidia",
        ),
        (
            {"systemd": {"version": 249, "user": False, "linger": True}},
            {"scope": "user"},
            "no systemd of its own",
            "enable-linger",
        ),
        ({"places": {"/opt/edgeskel": {**PLACE, "free_mb": 20.0}}}, {}, "20 MB are free", "free some space"),
        ({"places": {"/opt/edgeskel": {**PLACE, "blocked": "/opt"}}}, {}, "/opt is a file", "--prefix"),
        ({"places": {"/opt/edgeskel": {**PLACE, "closed": "/opt"}}}, {}, "/opt is closed", "chmod o+x /opt"),
        (
            {"places": {"/opt/edgeskel": {**PLACE, "no_programs": True}}},
            {"compiled": True},
            "mounted noexec",
            "--prefix",
        ),
        ({"places": {"/opt/edgeskel": {**PLACE, "foreign": True}}}, {}, "is not edgeskel's", "--prefix"),
        ({"places": {"/opt/edgeskel": {**PLACE, "read_only": True}}}, {}, "cannot be written", "--prefix"),
        (
            {"places": {"/opt/edgeskel": {**PLACE, "install": {"scope": "user"}}}},
            {},
            "installed with --scope user",
            "uninstall",
        ),
        ({}, {"prefix": "/opt/my kit"}, "cannot stand in a systemd unit", "--prefix"),
        ({"memory_free_mb": 90.0}, {}, "90 MB of memory", "stop"),
        ({"clock": 0.0}, {}, "clock says 1970-01-01", "--any-clock"),
    ],
)
def test_each_obstacle_is_named(facts: dict[str, Any], wanted: dict[str, Any], seen: str, remedy: str) -> None:
    from dataclasses import replace

    with pytest.raises(DeviceError) as caught:
        compatibility.require({**JETSON, **facts}, replace(REQUIRED, **wanted))
    assert seen in caught.value.seen and remedy in caught.value.remedy and caught.value.expected


def test_all_of_them_at_once() -> None:
    with pytest.raises(DeviceError) as caught:
        compatibility.require({**JETSON, "numpy": None, "sudo": False, "clock": 0.0}, REQUIRED)
    assert all(part in caught.value.seen for part in ("no numpy", "cannot become root", "clock says"))


def test_this_machine_can_be_probed(tmp_path: Any) -> None:
    facts = probe.facts(str(tmp_path / "absent" / "prefix"))
    assert (
        facts["numpy"]
        and abs(facts["clock"] - time.time()) < 60
        and facts["places"][str(tmp_path / "absent" / "prefix")]["free_mb"] > 0
    )
    assert compatibility.line(facts) and not (tmp_path / "absent").exists()


def test_scope_and_prefix_follow_what_is_possible() -> None:
    assert (
        compatibility.scope_of(JETSON, "auto") == "system"
        and compatibility.scope_of({**JETSON, "sudo": False}, "auto") == "user"
    )
    assert compatibility.scope_of(JETSON, "none") == "none"
    assert (
        compatibility.prefix_of(JETSON, "none", None).startswith("/home/nvidia")
        and compatibility.prefix_of(JETSON, "user", "/x") == "/x"
    )
