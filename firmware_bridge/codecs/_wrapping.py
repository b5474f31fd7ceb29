"""Clocks of 16 or 32 bits where the format has room for more: an Arduino's ``micros()`` is 0 again after 71.6 minutes.

A device time that falls back may be such a wrap, or a device that began anew. After a wrap the time goes on with ours: the reading
is as late as those before it. A device that began anew would have to do so at just that moment.
"""

from __future__ import annotations

__all__ = ["Unwrapped"]

WRAPS_US = (float(1 << 16), float(1 << 16) * 1e3, float(1 << 32), float(1 << 32) * 1e3)
"""Microseconds after which clocks wrap: 16 and 32 bits of microseconds and milliseconds."""
EARLY_US = 50_000.0
LATE_US = 250_000.0
"""A reading may come so much sooner or later than the quickest of the last minute or two, and be no sign of a new beginning."""
REMEMBERED_NS = 60_000_000_000


class Unwrapped:
    """The clock of one sensor, its wraps undone."""

    def __init__(self) -> None:
        self._wrap = 0.0  # microseconds; 0 while none was seen
        self._turns = 0.0  # microseconds that are to be added
        self._last: float | None = None  # as sent
        self._most = 0.0  # the latest that was ever sent
        self._sequence: int | None = None
        self._since = 0
        self._least = self._least_before = float("inf")  # how late readings come: of this minute, and of the one before

    def push(self, device_us: float, host_ns: int, sequence: int | None) -> int:
        """Microseconds of a clock that does not wrap, of a reading that arrived at ``host_ns``."""
        before, self._sequence = self._sequence, sequence
        if self._last is None:
            self._begin(host_ns)
        elif self._wrap or device_us < self._last:
            goes_on = None if sequence is None or before is None else 0 < sequence - before < 1 << 16
            if not self._turn(device_us, host_ns, goes_on) and device_us < self._last - EARLY_US:
                self._begin(host_ns)  # it began anew
        self._last = device_us
        self._most = max(self._most, device_us)
        if host_ns - self._since > REMEMBERED_NS:
            self._least_before, self._least, self._since = self._least, float("inf"), host_ns
        self._least = min(self._least, host_ns / 1e3 - device_us - self._turns)
        return round(device_us + self._turns)

    def _begin(self, host_ns: int) -> None:
        """Forget how late readings come."""
        self._least = self._least_before = float("inf")
        self._since = host_ns

    def _turn(self, device_us: float, host_ns: int, goes_on: bool | None) -> bool:
        """Whether the clock has turned over, or stands where it should without."""
        least = min(self._least, self._least_before)
        for wrap in (self._wrap,) if self._wrap else WRAPS_US:
            if wrap <= self._most:
                continue
            late = host_ns / 1e3 - device_us - self._turns - least
            turns = round((late - (LATE_US - EARLY_US) / 2) / wrap) if wrap > 4 * LATE_US else round((late - wrap / 4) / wrap)
            late -= turns * wrap
            early, most = (-EARLY_US, LATE_US) if wrap > 4 * LATE_US else (-wrap / 4, 3 * wrap / 4)
            if goes_on and turns == 1 and wrap > 4 * LATE_US:
                most = wrap / 4  # its counter goes on: it has not begun anew, however long it was held up
            if early <= late <= most and goes_on is not False and (turns > 0 or self._wrap) and \
                    self._turns + turns * wrap >= 0:
                self._turns += turns * wrap
                self._wrap = wrap
                return True
        return False
