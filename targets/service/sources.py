"""The frames of the service: from its source, in a thread, for as long as it runs.

``golden:`` plays the bundle's own golden windows in a loop. It is what a release recognises when no source was named:
everything behind the sensor is then at work, and nothing is opened.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

import numpy as np

from edgeskel.errors import EdgeskelError
from edgeskel.runtime.bundle import Bundle
from edgeskel.skeleton import Frame
from edgeskel.topologies.remap import converter
from firmware_bridge import Source, open_source
from firmware_bridge.recording import Recording
from firmware_bridge.replay import Replay, speed_of

__all__ = ["ReconnectingSource", "open_address"]

_QUEUE = 256


def open_address(address: str, bundle: Bundle) -> Source:
    """The source of an address; ``golden:`` beside those of ``firmware_bridge``. Raises what ``open_source`` raises."""
    scheme, _, rest = address.partition(":")
    if scheme != "golden":
        return open_source(address)
    options = dict(parse_qsl(rest.partition("?")[2]))
    golden = bundle.golden
    seen = np.asarray(golden.confidence.any(axis=(1, 3)))  # (G, S): frames beyond a clip's end are empty
    joints = np.concatenate([golden.joints[index][:, seen[index]] for index in range(len(golden))], axis=1)
    confidence = np.concatenate([golden.confidence[index][:, seen[index]] for index in range(len(golden))], axis=1)
    times = np.arange(joints.shape[1]) / bundle.window.rate_hz
    return Replay(
        Recording(joints, confidence, times, bundle.topology), speed=speed_of(options.get("speed", "1")), loop=math.inf
    )


class ReconnectingSource:
    """Opens a source, and opens it again whenever it fails or ends: a sensor that was unplugged comes back.

    Args:
        address: of the source.
        bundle: says the layout that frames are brought into.
        says: told what the source does.
        opener: opens an address.
        pauses_s: before a source is opened again: at first, and at most.
    """

    def __init__(
        self,
        address: str,
        bundle: Bundle,
        says: Callable[[str], None],
        *,
        opener: Callable[[str, Bundle], Source] = open_address,
        pauses_s: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        self._address, self._bundle, self._says = address, bundle, says
        self._opener, self._pauses_s = opener, pauses_s
        self._frames: queue.Queue[Frame | None] = queue.Queue(_QUEUE)
        threading.Thread(target=self._run, name="source", daemon=True).start()

    def next(self, wait_s: float) -> Frame | None:
        """The next frame; None when the source was opened anew.

        Raises:
            queue.Empty: none came within ``wait_s``.
        """
        return self._frames.get(timeout=wait_s)

    def _run(self) -> None:
        pause = self._pauses_s[0]
        while True:
            count = 0
            try:
                self._says("opening")
                with self._opener(self._address, self._bundle) as source:
                    convert = converter(source.topology, self._bundle.topology)
                    self._says("open")
                    self._frames.put(None)
                    for frame in source:
                        self._frames.put(convert(frame))
                        count += 1
                why = "it has ended"
            except (EdgeskelError, OSError) as error:
                why = str(error)
            pause = self._pauses_s[0] if count else min(2 * pause, self._pauses_s[1])
            self._says(f"{why}; opening it again in {pause:.0f} s")
            time.sleep(pause)
