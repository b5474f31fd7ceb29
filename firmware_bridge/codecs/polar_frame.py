"""Samples of Polar's measurement data (PMD) service: raw, or as a reference sample with packed differences.

Source: polar-ble-sdk (Polar Electro), Android ``gatt/client/pmd``: ``BlePMDClient``, ``model/AccData``, ``GyrData``,
``MagData``.

    raw          each channel little-endian, signed
    compressed   the reference sample like a raw one, then blocks of u8 bits, u8 count, and count x channels signed
                 differences of so many bits, least significant bit first, filled up to a whole byte

Axes: T samples, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Integers", "compress", "decompress", "pack", "unpack"]

Integers = np.ndarray[Any, np.dtype[np.int64]]

WIDEST_DIFFERENCE = 32
MOST_IN_A_BLOCK = 255


def unpack(data: bytes, channels: int, size: int) -> Integers | None:
    """Raw samples (T, C), each channel of ``size`` bytes; None when the length does not fit."""
    if not data or len(data) % (channels * size):
        return None
    if size == 2:
        return np.frombuffer(data, "<i2").astype(np.int64).reshape(-1, channels)
    if size == 4:
        return np.frombuffer(data, "<i4").astype(np.int64).reshape(-1, channels)
    octets = np.frombuffer(data, np.uint8).astype(np.int64).reshape(-1, channels, size)
    values: Integers = octets @ (1 << 8 * np.arange(size, dtype=np.int64))
    return values - ((values >> (8 * size - 1)) << 8 * size)


def pack(samples: Sequence[Sequence[int]], size: int) -> bytes:
    """The inverse of :func:`unpack`."""
    return b"".join(int(value).to_bytes(size, "little", signed=True) for sample in samples for value in sample)


def decompress(data: bytes, channels: int, size: int) -> Integers | None:
    """Samples (T, C) from a reference sample and its differences; None when the bytes end early or late.

    The sums are not wrapped to the reference's ``size`` bytes: one that leaves its range is for the caller to refuse.
    """
    at = channels * size
    reference = unpack(data[:at], channels, size) if len(data) >= at else None
    if reference is None:
        return None
    parts = [reference]
    while at < len(data):
        if at + 2 > len(data):
            return None
        width, count = data[at], data[at + 1]
        bits = width * count * channels
        begin, at = at + 2, at + 2 + (bits + 7) // 8
        if not 0 < width <= WIDEST_DIFFERENCE or not count or at > len(data):
            return None
        each = np.unpackbits(np.frombuffer(data, np.uint8, at - begin, begin), count=bits, bitorder="little")
        parts.append(each.reshape(-1, width) @ _WEIGHTS[width])
    return np.cumsum(np.concatenate([part.reshape(-1, channels) for part in parts]), axis=0)


def compress(samples: Sequence[Sequence[int]], size: int) -> bytes:
    """A reference sample and its differences in the fewest bits that hold them.

    Args:
        samples: (T, C) with T of at least 1.
        size: bytes of each channel of the reference sample.
    """
    values = np.array(samples, np.int64)
    out = bytearray(pack(samples[:1], size))
    differences = np.diff(values, axis=0)
    for begin in range(0, len(differences), MOST_IN_A_BLOCK):
        block = differences[begin : begin + MOST_IN_A_BLOCK]
        most = max(int(block.max()), -int(block.min()) - 1, 0)
        width = most.bit_length() + 1
        bits = (block.reshape(-1, 1) >> np.arange(width)) & 1
        out += bytes((width, len(block))) + np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()
    return bytes(out)


# Two's complement: the last bit of a difference counts negative.
_WEIGHTS = {
    width: np.array([1 << bit for bit in range(width - 1)] + [-(1 << (width - 1))], np.int64)
    for width in range(1, WIDEST_DIFFERENCE + 1)
}
