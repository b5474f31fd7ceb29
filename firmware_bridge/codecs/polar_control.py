"""The control point of Polar's measurement data (PMD) service: commands, answers and settings.

Source: polar-ble-sdk (Polar Electro), Android ``gatt/client/pmd``: ``PmdSetting``, ``PmdControlPointResponse``.

A setting is u8 kind, u8 count, and so many values of the kind's size, little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firmware_bridge.samples import Chunk

__all__ = ["CONTROL", "encode_response", "encode_settings", "parse_settings"]

CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"

GET_SETTINGS, START, STOP = 1, 2, 3
RESPONSE, STOPPED = 0xF0, 0x01
RATE, RANGE, FACTOR = 0, 2, 5
SETTING_BYTES = (2, 2, 2, 4, 1, 4)
"""Of each kind: rate, resolution, range, range in thousandths, channels, factor."""

REASONS = ("success", "invalid command", "invalid type", "not supported", "invalid length", "invalid parameter",
           "already in that state", "invalid resolution", "invalid rate", "invalid range", "MTU too small",
           "invalid channels", "invalid state", "device is in its charger", "disk full")  # fmt: skip
ALREADY = 6


def parse_settings(data: bytes) -> dict[int, list[int]] | None:
    """Kind -> values offered; None when the bytes do not end with a setting."""
    settings: dict[int, list[int]] = {}
    at = 0
    while at < len(data):
        if at + 2 > len(data) or data[at] >= len(SETTING_BYTES):
            return None
        kind, count = data[at], data[at + 1]
        size = SETTING_BYTES[kind]
        at += 2
        if not count or at + count * size > len(data):
            return None
        settings[kind] = [int.from_bytes(data[at + n * size : at + (n + 1) * size], "little") for n in range(count)]
        at += count * size
    return settings


def encode_settings(settings: Mapping[int, Sequence[int]]) -> bytes:
    """Settings as they travel: kind -> values. The factor is the bit pattern of a float32."""
    return b"".join(
        bytes((kind, len(values))) + b"".join(value.to_bytes(SETTING_BYTES[kind], "little") for value in values)
        for kind, values in sorted(settings.items())
    )


def encode_response(command: int, kind: int, settings: Mapping[int, Sequence[int]], *, status: int = 0) -> Chunk:
    """The device's answer to a command."""
    return Chunk(bytes((RESPONSE, command, kind, status, 0)) + encode_settings(settings), 0, CONTROL)
