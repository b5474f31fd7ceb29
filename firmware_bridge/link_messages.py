"""What happens on links, in sentences for the user who stands beside the device.

Each says which device, what was seen, and what to do. What repeats is said once, and then counted: a line that loses one reading
in a hundred must not fill the screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from firmware_bridge.link import (
    DeviceRefused,
    DeviceReport,
    Gap,
    Ignored,
    Item,
    LinkHealth,
    Lost,
    Overflow,
    Reboot,
    Recovered,
    Sample,
    Stalled,
)
from firmware_bridge.samples import Flags

__all__ = ["FLAT", "LinkMessages"]

FLAT = 0.1
"""Share of full below which a battery is about to end the recording."""
FOREIGN = 20
"""So many frames refused and none accepted: it is another protocol, another baud rate, or packets that are cut."""

_SUSPECTS = {
    "serial": "is it this protocol, and this baud rate?",
    "ble": "is it this protocol? Packets may also be cut, where the connection's MTU is too small",
}


class LinkMessages:
    """Turns what links report into sentences; keeps what was said."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._flat: set[tuple[str, str]] = set()
        self._bad: dict[str, int] = {}
        self._foreign: dict[str, int] = {}

    def of(self, item: Item) -> str | None:
        """The sentence about an item; None where it is nothing to speak of, or was said before."""
        device = item.device
        if isinstance(item, Sample):
            if item.reading.flags is not Flags.NONE and Flags.SATURATED in item.reading.flags:
                sensor = f" (sensor {item.reading.sensor})" if item.reading.sensor else ""
                return self._counted(device, "saturated", f"{device}{sensor}: a value stands at the end of the sensor's range; "
                                     "choose a larger range, or move less abruptly")
            return None
        if isinstance(item, DeviceReport):
            return self._battery(item)
        if isinstance(item, Gap):
            late = " or came too late" if device.startswith("udp:") else ""  # a gap is seen before what overtook it comes
            return self._counted(device, "lost", f"{device}: readings were lost on the way{late}", item.count)
        if isinstance(item, Overflow):
            return self._counted(device, "overflow", f"{device}: this computer was too slow, readings were dropped", item.count)
        if isinstance(item, Reboot):
            return f"{device} started anew ({item.missed} readings since then did not arrive)"
        if isinstance(item, Stalled):
            waited = "it is waited for" if device.startswith("udp:") else "it is opened again until it answers"
            return f"{device} has been silent for {item.silence_s:.1f} s; {waited}"
        if isinstance(item, Lost):
            return f"{device}: {item.reason.removeprefix(device + ': ')}" + ("" if item.final else "; it is tried again")
        if isinstance(item, Recovered):
            return f"{device} sends again, after {item.after_s:.1f} s" if item.after_s > 1.0 else None
        if isinstance(item, DeviceRefused):
            return (f"{item.identity} is not enrolled, so nothing of it is used; if it is yours, run: "
                    f"edgeskel devices enrol {item.identity}")
        if isinstance(item, Ignored):
            return (f"{device}: {item.sender} sends to this port and is not listed in from=, so nothing of it is used; "
                    "if it is yours, add it there")
        return None

    def health(self, health: Iterable[LinkHealth]) -> list[str]:
        """Sentences about refused frames, from the links' present state."""
        said = []
        for one in health:
            fresh = one.bad - self._bad.get(one.device, 0)
            self._bad[one.device] = one.bad
            if not one.received and one.bad and (one.bad >= FOREIGN or one.problem):
                told = self._foreign.get(one.device, 0)
                if not told or len(str(told)) < len(str(one.bad)):
                    self._foreign[one.device] = one.bad
                    said.append(f"{one.device}: frames were refused ({one.bad} so far) and no reading was understood: "
                                + _SUSPECTS.get(one.device.partition(":")[0], "is it this protocol?"))
            elif fresh > 0:
                sentence = self._counted(one.device, "bad", f"{one.device}: frames were refused (checksum, length or values that "
                                         "cannot be)", fresh)
                said += [sentence] if sentence else []
        return said

    def _battery(self, report: DeviceReport) -> str | None:
        status, key = report.status, (report.device, report.status.sensor)
        if status.battery is not None and status.battery < FLAT and key not in self._flat:
            self._flat.add(key)
            return f"{report.device}: the battery is at {status.battery:.0%}; charge or change it"
        if status.battery is not None and status.battery > 2 * FLAT:
            self._flat.discard(key)
        if status.text:
            return f"{report.device}: {status.text}"
        return None

    def _counted(self, device: str, kind: str, sentence: str, times: int = 1) -> str | None:
        """The sentence the first time, and when the count has another digit."""
        before = self._counts.get((device, kind), 0)
        now = self._counts[device, kind] = before + times
        if before and int(math.log10(now)) == int(math.log10(before)):
            return None
        return f"{sentence} ({now} so far)" if now > 1 else sentence
