"""What every codec must hold whatever the bytes, and ways to make bad ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence

from firmware_bridge.codecs import Codec
from firmware_bridge.samples import Chunk, DeviceStatus, Reading


def feed(codec: Codec, pieces: Iterable[bytes], channel: str = "") -> list[Reading | DeviceStatus]:
    """Everything that the pieces give, each a millisecond after the one before."""
    return [item for at, piece in enumerate(pieces) for item in codec.decode(Chunk(piece, at * 1_000_000, channel))]


def readings(items: Iterable[Reading | DeviceStatus]) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` in pieces, cut at the places (modulo its length)."""
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def mutated(packet: bytes, chance: random.Random) -> bytes:
    """``packet`` with some bytes changed, removed, inserted, cut off or repeated."""
    data = bytearray(packet)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del data[at : at + chance.randint(1, 8)]
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case _:
                data = data[:at] if chance.random() < 0.5 else data + data[at:]
    return bytes(data)


def sound(items: Iterable[Reading | DeviceStatus]) -> None:
    """No reading claims what cannot be."""
    for item in items:
        if isinstance(item, DeviceStatus):
            for number in (item.battery, item.temperature, item.signal_dbm):
                assert number is None or math.isfinite(number)
            assert item.battery is None or 0 <= item.battery <= 1
            continue
        vectors = (item.acceleration, item.linear_acceleration, item.angular_velocity, item.magnetic_field)
        assert all(math.isfinite(value) for vector in vectors if vector is not None for value in vector)
        if item.orientation is not None:
            assert abs(math.hypot(*item.orientation) - 1) < 1e-9


def survives(make: Callable[[], Codec], packets: Sequence[bytes], rounds: int, channel: str = "") -> Codec:
    """Feed mutated packets to decode and reply: no exception, sound readings, counts that only grow."""
    chance = random.Random(7)
    codec = make()
    before = (0, 0, 0)
    for at in range(rounds):
        chunk = Chunk(mutated(chance.choice(packets), chance), at * 1_000_000, channel)
        sound(codec.decode(chunk))
        codec.reply(chunk)
        after = (codec.counts.frames, codec.counts.bad, codec.counts.discarded)
        assert all(a <= b for a, b in zip(before, after, strict=True))
        before = after
    return codec
