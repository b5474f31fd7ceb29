"""The live streams through a device's service: its ``RecognitionService``, and the lines that it writes to the journal."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any, cast

from targets.service.health import ServiceHealth
from targets.service.serve import MonitoredEngine, RecognitionService
from tests.targets import live_streams
from tests.targets.live_streams import Replayed, Stream


def played(stream: Stream) -> dict[str, Any]:
    """What the service makes of a stream; as :func:`tests.targets.live_streams.played`."""
    bundle = live_streams.bundle_of(stream)
    form = bundle.step if stream["mode"] == "streaming" else None
    engine = Replayed(stream["answers"], form, len(stream["layout"]))
    health = ServiceHealth("streams", "nowhere", {})
    out = io.StringIO()
    with redirect_stdout(out):
        recogniser = RecognitionService(cast(MonitoredEngine, engine), bundle, {}, health)
        for frame in live_streams.frames_of(stream):
            recogniser.step(frame)
        recogniser.finish()
    events = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    return {"events": events, "inputs": engine.inputs, "refused": dict(sorted(health.counts.refused.items()))}
