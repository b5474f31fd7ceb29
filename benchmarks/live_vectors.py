"""Whether the same frames give the same events everywhere: Python's ``Session.step``, alone and in a device's service, the Kotlin
package and the Swift package.

Every live stream of ``tests/targets/live_streams.json`` (recorded and made; gaps, several persons, irregular times) is played by
each of them with the network's answers replayed.

- ``streams``: how many there are; ``events``: what they must give, all together.
- ``implementations``: how many were compared (Python, Kotlin, Swift), ``compared`` who. One whose compiler is not here is not
  counted, and named under ``missing`` with how to get it.
- ``event_mismatches``: events whose kind, person or label differs, whose times are more than one frame off or whose confidence is
  more than 1e-4 off, streams with another number of events or of refused frames, and calls of the network that were given something
  else, over all streams and implementations; ``mismatches`` has each in words.

``--quick`` measures the same: the time goes to the two compilers, which run side by side.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks._bench import main
from tests.targets import live_streams, phones, service_streams

SERVICE = "Python in a device's service"


def _played(kind: type[phones.Kotlin] | type[phones.Swift]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        return kind(Path(scratch)).play(live_streams.FILE)


def measure(quick: bool) -> dict[str, Any]:
    """Play every stream in every implementation."""
    streams = live_streams.read()
    missing: dict[str, str] = {}
    with ThreadPoolExecutor() as pool:
        others = {kind.name: pool.submit(_played, kind) for kind in phones.IMPLEMENTATIONS}
        compared = {"Python": {one["name"]: live_streams.played(one) for one in streams},
                    SERVICE: {one["name"]: service_streams.played(one) for one in streams}}
        for name, played in others.items():
            try:
                compared[name] = played.result()
            except phones.Absent as absent:
                missing[name] = str(absent)
    found = [f"{name}: {difference}" for name, played in compared.items() for one in streams
             for difference in live_streams.mismatches(one, played[one["name"]])]
    return {
        "streams": len(streams),
        "events": sum(len(one["expected"]["events"]) for one in streams),
        "implementations": len(compared.keys() - {SERVICE}),
        "compared": ", ".join(compared),
        "missing": missing,
        "event_mismatches": len(found),
        "mismatches": found,
    }


if __name__ == "__main__":
    main("live_vectors", measure)
