"""A running recogniser with its state: clips or live frames in, recognitions or events out. Numpy and one engine.

Axes: P persons in a frame, M persons, T frames of a clip, S frames of the window, V joints, K classes, D width of the
embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from edgeskel.errors import CorruptFile, EngineError, InvalidClip, TopologyMismatch, UsageError
from edgeskel.runtime.arrivals import GAP_S
from edgeskel.runtime.bundle import Window
from edgeskel.runtime.engines import Engine
from edgeskel.runtime.events import Event, EventConfig
from edgeskel.runtime.live import Live, PersonState
from edgeskel.runtime.live_modes import LiveMode, SlidingWindow, Streaming
from edgeskel.runtime.snapshot import pack, plain, unpack
from edgeskel.runtime.step_artifact import Stepper
from edgeskel.runtime.timeline import paced
from edgeskel.skeleton import Clip, Float32, Frame, Topology, check_window, unit_of_step
from edgeskel.values import ByValue
from edgeskel.window import check_axes, fit_window

__all__ = ["Recognition", "Session"]


@dataclass(frozen=True, eq=False, repr=False)
class Recognition(ByValue):
    """What a clip shows.

    Args:
        label: the most probable class.
        probability: of that class.
        probabilities: (K,).
        embedding: (D,).
    """

    label: str
    probability: float
    probabilities: Float32
    embedding: Float32

    def __str__(self) -> str:
        """Label and probability."""
        return f"{self.label!r} {self.probability:.0%}"


class Session:
    """Recognises clips (:meth:`recognise`) and live frames (:meth:`step`).

    Args:
        engine: runs one window.
        topology: the layout of the joints that it takes.
        labels: K class names.
        window: M, S, rate and hop.
        stepper: runs frame by frame, where the recogniser has that form; :meth:`step` then goes that way.
        config: when scores become events.
        most: persons that :meth:`step` follows at a time, where the recogniser sees one at a time.
    """

    engine: Engine
    stepper: Stepper | None
    remark: str = ""
    """What its user should know of the artifact that was chosen; see :func:`edgeskel.runtime.artifact_choice.remark`."""

    def __init__(self, engine: Engine, topology: Topology, labels: Sequence[str], window: Window, *,
                 stepper: Stepper | None = None, config: EventConfig | None = None, most: int = 4) -> None:
        self.engine, self.stepper = engine, stepper
        self.topology = topology
        self.labels: tuple[str, ...] = tuple(labels)
        self.window = window
        self.config: EventConfig = config or EventConfig()
        self.most = most
        self._live = self._fresh()

    def __repr__(self) -> str:
        """One line."""
        return (f"<Session on {self.engine.name}, by {self.mode}: {len(self.labels)} labels, {self.topology.name}, "
                f"{self.window.persons} x {self.window.frames} frames at {self.window.rate_hz:g} Hz>")

    def _repr_html_(self) -> str:
        """For a notebook: what it recognises with, and whom it follows."""
        from edgeskel.notebook import table

        doing = {f"person {number}": person.naming.label or ("moving" if person.segmenter.moving else "no action")
                 for number, person in self.persons.items()}
        window = f"{self.window.persons} x {self.window.frames} frames at {self.window.rate_hz:g} Hz"
        return table("Session", {"engine": self.engine.name, "mode": self.mode, "labels": list(self.labels),
                                 "layout": self.topology.name, "window": window, "refused": dict(self.refused) or "nothing",
                                 **doing})

    @property
    def mode(self) -> str:
        """How :meth:`step` recognises: ``streaming`` (frame by frame) or ``sliding-window``."""
        return "sliding-window" if self.stepper is None else "streaming"

    def reset(self) -> None:
        """Forget the live frames: a source starts anew, its clock may start anew too."""
        tap, self._live = self._live.tap, self._fresh()
        self._live.tap = tap

    def _fresh(self) -> Live:
        """Nothing is remembered."""
        return Live(self.topology, self.labels, self.window, self._recognising, self.config, self.most)

    def _recognising(self) -> LiveMode:
        if self.stepper is not None:
            return Streaming(self.stepper, len(self.labels))

        def recognise(joints: Float32, confidence: Float32) -> tuple[Float32, Float32]:
            found = self.recognise(joints, confidence)
            return found.probabilities, found.embedding

        return SlidingWindow(recognise, self.window.hop)

    def step(self, frame: Frame) -> list[Event]:
        """Take a live frame of any number of persons; what it brings to light, which mostly is nothing.

        Everybody has a state of their own. Frames may come at any rate, with jitter and pauses: time counts, not frames. What
        is wrong with a frame never ends the session; it is counted in :attr:`refused`:

        * late or repeated frames, and a single one far from the others (:class:`~edgeskel.runtime.arrivals.Arrivals`), are
          left out;
        * a frame whose time counts something smaller than seconds is left out;
        * a pause of more than a second, or a source that starts again, ends all actions; everybody is new afterwards;
        * a frame of another number of joints, or of more than 64 persons, is left out;
        * a joint that claims to be seen and is not finite is missing.

        Args:
            frame: of one instant, (P, V, 3).

        Raises:
            EngineError: the engine failed.
        """
        return self._live.step(frame)

    def finish(self) -> list[Event]:
        """The source has ended: the actions that were going on in :meth:`step`."""
        return self._live.finish()

    @property
    def persons(self) -> dict[int, PersonState]:
        """What is known of each person whom :meth:`step` follows, by number."""
        return self._live.persons

    @property
    def refused(self) -> Counter[str]:
        """What :meth:`step` did not take since the start, counted by the reason."""
        return self._live.refused

    def tap(self, listener: Callable[[Frame], None] | None) -> None:
        """Let ``listener`` have every frame that :meth:`step` takes, as it takes it: what a recording needs to give the same
        events again."""
        self._live.tap = listener

    def save(self) -> bytes:
        """Everything that :meth:`step` remembers; :meth:`restore` goes on from there as if there had been no pause."""
        return pack({"session": self._identity(), "live": self._live.state_dict()})

    def restore(self, state: bytes) -> None:
        """Go on from what :meth:`save` gave, in this process or another one.

        Raises:
            CorruptFile: damaged, something else, or a state that no session can be in.
            UsageError: of another recogniser or another mode. The session is as it was before.
        """
        fields = unpack(state)
        if not isinstance(fields, dict) or not isinstance(fields.get("session"), dict):
            raise CorruptFile("session state", "not what Session.save gives")
        identity = dict(fields["session"])
        if "way" in identity:  # of a state that an earlier version saved
            identity["mode"] = {"frame": "streaming", "window": "sliding-window"}.get(str(identity.pop("way")))
        if plain(identity) != plain(self._identity()):
            raise UsageError("the saved state is of another recogniser or of another mode",
                             expected=f"one of {len(self.labels)} labels and {len(self.topology.joints)} joints, by {self.mode}")
        live = self._fresh()
        live.load_state_dict(fields.get("live"))
        live.tap, self._live = self._live.tap, live

    def _identity(self) -> dict[str, object]:
        """What a saved state must fit."""
        shapes = () if self.stepper is None else self.stepper.form.states
        return {"labels": self.labels, "joints": self.topology.joints, "persons": self.window.persons,
                "rate_hz": self.window.rate_hz, "mode": self.mode, "states": shapes,
                "segmenter": astuple(self.config.segmenter)}

    def check_topology(self, topology: Topology) -> None:
        """Refuse a source of another layout.

        Raises:
            TopologyMismatch: joints differ in name, number or order.
        """
        if topology.joints != self.topology.joints:
            raise TopologyMismatch(
                f"frames have the {len(topology.joints)} joints of {topology.name}",
                expected=f"the {len(self.topology.joints)} of {self.topology.name}",
                remedy=f"remap the source to {self.topology.name}, or use a model of its own layout",
            )

    def recognise(self, joints: Float32, confidence: Float32 | None = None) -> Recognition:
        """Recognise one clip, stretched to the window as in training.

        Args:
            joints: (P, T, V, 3) metres: persons, frames, joints, x y z; any T and P.
            confidence: (P, T, V) in 0..1; None means that all joints were seen.

        Raises:
            InvalidClip: the clip breaks the contract, its axes stand in another order, or nothing is seen in it.
            TopologyMismatch: another number of joints.
        """
        joints = np.asarray(joints, dtype=np.float32)
        check_axes(joints.shape, self.topology)
        seen = np.ones(joints.shape[:3], np.float32) if confidence is None else np.asarray(confidence, np.float32)
        check_window(joints, seen, "clip")
        self._check_size(joints.shape[2])
        if not (seen > 0).any():
            raise InvalidClip("clip: every joint is missing", expected="somebody to recognise")
        window, window_confidence = fit_window(joints, seen, self.window.persons, self.window.frames)
        return self._run(window[None], window_confidence[None])

    def watch(self, clip: Clip) -> Recognition:
        """What :meth:`step` makes of one person's action, here of a recording of it; the live frames are not touched.

        By window that is :meth:`recognise`. Frame by frame the clip runs through the steps, on the session's clock and as
        long as it is, and the last full step answers: frames keep their pace, which a causal recogniser goes by, at any
        rate of the source.

        Args:
            clip: (P, T, V, 3), any T and P; frame by frame the person who acts counts.

        Raises:
            InvalidClip: nothing is seen in it, or it is shorter than one step.
            TopologyMismatch: another number of joints.
            EngineError: the engine failed.
        """
        if self.stepper is None:
            return self.recognise(clip.joints, clip.confidence)
        self._check_size(clip.joints.shape[2])
        if not (clip.confidence > 0).any():
            raise InvalidClip("clip: every joint is missing", expected="somebody to recognise")
        longest = float(np.diff(clip.time).max(initial=0.0))
        if longest > GAP_S:
            raise InvalidClip(f"clip: {longest:g} s from one frame to the next", expected=f"at most {GAP_S:g} s",
                              remedy=f"if these are {unit_of_step(longest)}, divide them; else give the parts one by one")
        memory, answer = self.stepper.fresh(), None
        for settled in paced(clip, self.window.rate_hz):
            answer = self.stepper.push(memory, settled.joints[0], settled.confidence[0]) or answer
        if answer is None:
            raise InvalidClip(f"clip: {clip.frames} frames in {clip.time[-1] - clip.time[0]:.2f} s",
                              expected=f"{self.stepper.form.frames} frames at {self.window.rate_hz:g} Hz at least")
        best = int(np.argmax(answer[0]))
        return Recognition(self.labels[best], float(answer[0][best]), *answer)

    def _check_size(self, joints: int) -> None:
        if joints != len(self.topology.joints):
            raise TopologyMismatch(
                f"{joints} joints",
                expected=f"the {len(self.topology.joints)} of {self.topology.name}",
                remedy="remap them by name first: edgeskel.topologies.remap",
            )

    def _run(self, joints: Float32, confidence: Float32) -> Recognition:
        probabilities, embedding = self.engine(joints, confidence)
        if not np.isfinite(probabilities).all():
            raise EngineError(
                f"{self.engine.name} answered with non-finite probabilities",
                expected="values in 0..1",
                remedy="run: edgeskel verify BUNDLE",
            )
        best = int(np.argmax(probabilities))
        return Recognition(self.labels[best], float(probabilities[best]), probabilities, embedding)
