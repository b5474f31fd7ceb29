"""Frames of fixed length in a stream of bytes, where a start pattern and a weak checksum are all there is.

An 8-bit sum lets one random frame in 256 pass, so a valid frame alone is no proof. What noise does not do is stand in
line: a frame is accepted where one is due, that is, right behind an accepted one. Out of step, it takes two valid
frames back to back before the first of them counts (no frame is lost by that; the first one waits for the second).
A damaged frame whose successor stands at its place costs that one frame and does not bring us out of step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firmware_bridge.codecs import CodecCounts

__all__ = ["FrameStream", "StreamFrame"]


class StreamFrame(NamedTuple):
    """An accepted frame; ``after_gap`` says that bytes were discarded right before it."""

    data: bytes
    after_gap: bool


class FrameStream:
    """Finds frames in a stream, however it is cut into pieces; keeps less than two frames between calls.

    What is accepted depends on the bytes alone, never on where the pieces end.

    Args:
        start: the bytes that a frame begins with.
        length: bytes of a frame, the start included.
        valid: whether bytes of that length are a frame: checksum and possible values.
        counts: where frames, refused candidates and discarded bytes are counted.
    """

    def __init__(self, start: bytes, length: int, valid: Callable[[bytes], bool], counts: CodecCounts) -> None:
        self._start = start
        self._length = length
        self._valid = valid
        self._counts = counts
        self.reset()

    def reset(self) -> None:
        """Forget what was kept. The next byte is taken for the first one of a frame until it proves otherwise."""
        self._kept = b""
        self._in_step = True
        self._gap = False

    @property
    def kept(self) -> int:
        """Bytes that wait for their rest."""
        return len(self._kept)

    def push(self, data: bytes) -> list[StreamFrame]:
        """The frames that ``data`` completes, in order."""
        buffer = self._kept + data
        frames: list[StreamFrame] = []
        at = 0
        while True:
            at = self._skip_to_start(buffer, at)
            decided = self._decide(buffer, at)
            if decided is None:
                break
            accepted, used = decided
            if accepted:
                frames.append(StreamFrame(buffer[at : at + self._length], self._gap))
                self._counts.frames += 1
                self._gap = False
            else:
                self._counts.bad += 1
                self._discard(used)
            at += used
        self._kept = buffer[at:]
        return frames

    def _skip_to_start(self, buffer: bytes, at: int) -> int:
        """Where the next start may be; everything before it is discarded. In step it is here or nowhere."""
        if self._in_step and self._is_start(buffer, at):
            return at
        if self._in_step and len(buffer) - at < 2 * self._length:
            return at  # a damaged start, perhaps: its successor decides
        if self._in_step and self._is_frame(buffer, at + self._length):
            return at
        self._in_step = False
        found = buffer.find(self._start, at)
        if found < 0:
            # The end of the piece may be the beginning of a start.
            found = next(
                end for end in range(max(at, len(buffer) - len(self._start) + 1), len(buffer) + 1)
                if self._start.startswith(buffer[end:])
            )
        self._discard(found - at)
        return found

    def _decide(self, buffer: bytes, at: int) -> tuple[bool, int] | None:
        """(accepted, bytes used) for the candidate at ``at``; None while bytes are missing."""
        if len(buffer) - at < self._length:
            return None
        here = self._is_frame(buffer, at)
        if here and self._in_step:
            return True, self._length
        if not here and not self._in_step:
            return False, 1
        if len(buffer) - at < 2 * self._length:
            return None
        successor = self._is_frame(buffer, at + self._length)
        if self._in_step:
            # Damaged, but the next one stands where it should: only this one is lost.
            self._in_step = successor
            return False, self._length if successor else 1
        self._in_step = successor
        return (True, self._length) if successor else (False, 1)

    def _is_start(self, buffer: bytes, at: int) -> bool:
        piece = buffer[at : at + len(self._start)]
        return self._start.startswith(piece)

    def _is_frame(self, buffer: bytes, at: int) -> bool:
        return buffer.startswith(self._start, at) and self._valid(buffer[at : at + self._length])

    def _discard(self, count: int) -> None:
        if count:
            self._counts.discarded += count
            self._gap = True
