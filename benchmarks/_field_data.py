"""Figures of ``python -m benchmarks.field`` on recordings as trackers really write them: phantoms, new ids, zeros.

Generated actions are written as NTU RGB+D and CSV files with phantoms or zeros of many kinds added, imported as a user
imports them, and recognised by the shipped ``edge-demo``. ``clean_right`` is the share of the same actions that it
recognises from files without either; no figure can be expected to be higher.

Axes: M bodies, T frames, V joints.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.data import Store, import_dataset, synthetic
from edgeskel.models import from_pretrained
from edgeskel.skeleton import Clip
from edgeskel.topologies.remap import Remap

__all__ = ["measure"]

SEED = 1301
KINECT_1, KINECT_2 = topologies.get("kinect-v1"), topologies.get("kinect-v2")
TOML = """topology = "kinect-v1"
units = "m"
axes = "x left, y up, z forward"
frame_rate = 30
files = "{label}/{subject}_{*}.csv"
"""

Joints = NDArray[np.float64]  # (T, V, 3)
Bodies = list[tuple[str, Joints, NDArray[np.bool_]]]  # tracking id, joints, (T,) in which frames it is there
Change = Callable[[Joints, np.random.Generator], Bodies]


def measure(quick: bool) -> dict[str, float]:
    """``phantom_right``, ``zeros_right``, ``clean_right``: shares of the actions that are recognised right, 0 to 1."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        clips = list(synthetic.generate(place / "made", subjects=1 if quick else 4, takes=1, seed=SEED, sensors=()))
        right = {"clean": _ntu(place, "clean", clips, [_alone]) + _csv(place, "clean", clips, [_alone]),
                 "phantom": _ntu(place, "phantom", clips, PHANTOMS) + _csv(place, "phantom", clips, PHANTOMS),
                 "zeros": _ntu(place, "zeros", clips, ZEROS) + _csv(place, "zeros", clips, ZEROS)}
    return {f"{name}_right": float(np.mean(answers)) for name, answers in right.items()}


# Phantoms.


def _alone(actor: Joints, rng: np.random.Generator) -> Bodies:
    return [("actor", actor, np.ones(len(actor), bool))]


def _still(actor: Joints, rng: np.random.Generator, *, sway: float = 0.0, noise: float = 0.0) -> Joints:
    """A body beside the actor that keeps a pose, but for a slow sway and noise of each joint, metres."""
    pose = actor[0] + [1.1, 0.05, 0.4]
    slow = sway * np.sin(np.linspace(0, 5, len(actor)))[:, None, None] * [1.0, 0.2, 0.5]
    return np.asarray(pose + slow + rng.normal(scale=noise, size=actor.shape))


def _some(frames: int, start: float, end: float) -> NDArray[np.bool_]:
    at = np.arange(frames) / frames
    return (at >= start) & (at < end)


def _motionless_first(actor: Joints, rng: np.random.Generator) -> Bodies:
    """Tracked in all frames, while the actor is lost in the last seventh."""
    return [("phantom", _still(actor, rng), _some(len(actor), 0, 1)), ("actor", actor, _some(len(actor), 0, 0.86))]


def _swaying_last(actor: Joints, rng: np.random.Generator) -> Bodies:
    return [*_alone(actor, rng), ("phantom", _still(actor, rng, sway=0.015, noise=0.005), _some(len(actor), 0, 1))]


def _noisy_first(actor: Joints, rng: np.random.Generator) -> Bodies:
    return [("phantom", _still(actor, rng, noise=0.02), _some(len(actor), 0, 1)), *_alone(actor, rng)]


def _flickering(actor: Joints, rng: np.random.Generator) -> Bodies:
    """Four bodies of five frames each at four places, around the actor's own track."""
    shown = [(str(i), _still(actor, rng) + [0.8 * i, 0, 0.5 * i], (np.arange(len(actor)) // 5) == 3 * i) for i in range(4)]
    return [*shown[:2], *_alone(actor, rng), *shown[2:]]


def _another_id(actor: Joints, rng: np.random.Generator) -> Bodies:
    """The actor's id changes in the middle, beside a phantom that was there first."""
    return [("phantom", _still(actor, rng), _some(len(actor), 0, 1)), ("one", actor, _some(len(actor), 0, 0.5)),
            ("two", actor, _some(len(actor), 0.5, 1))]


def _exchanged(actor: Joints, rng: np.random.Generator) -> Bodies:
    """From the middle on, the actor has the phantom's id and the phantom the actor's."""
    phantom, late = _still(actor, rng, noise=0.003), _some(len(actor), 0.5, 1)[:, None, None]
    return [("1", np.where(late, actor, phantom), _some(len(actor), 0, 1)),
            ("2", np.where(late, phantom, actor), _some(len(actor), 0, 1))]


PHANTOMS: list[Change] = [_motionless_first, _swaying_last, _noisy_first, _flickering, _another_id, _exchanged]


# Zeros.


def _scattered(actor: Joints, rng: np.random.Generator) -> Bodies:
    return _zeroed(actor, rng.random(actor.shape[:2]) < 0.08)


def _blanked(actor: Joints, rng: np.random.Generator) -> Bodies:
    """All joints for ten frames in the middle."""
    gap = np.zeros(actor.shape[:2], bool)
    gap[len(actor) // 2 : len(actor) // 2 + 10] = True
    return _zeroed(actor, gap)


def _without_feet(actor: Joints, rng: np.random.Generator) -> Bodies:
    gap = np.zeros(actor.shape[:2], bool)
    gap |= np.array([name.endswith(("foot", "ankle")) for name in KINECT_1.joints])
    return _zeroed(actor, gap)


def _in_runs(actor: Joints, rng: np.random.Generator) -> Bodies:
    """Each joint is lost for a sixth of the time, in one run."""
    gap = np.zeros(actor.shape[:2], bool)
    for joint in range(actor.shape[1]):
        start = int(rng.integers(len(actor)))
        gap[start : start + len(actor) // 6, joint] = True
    return _zeroed(actor, gap)


def _zeroed(actor: Joints, gap: NDArray[np.bool_]) -> Bodies:
    return [("actor", np.where(gap[..., None], 0.0, actor), np.ones(len(actor), bool))]


ZEROS: list[Change] = [_scattered, _blanked, _without_feet, _in_runs]


# Files, and what is made of them.


def _changed(clips: list[Clip], changes: list[Change]) -> list[tuple[str, Bodies]]:
    """(label, bodies) of each clip; the changes by turns, a clip's kind depends on its place alone."""
    rng = np.random.default_rng(SEED)
    return [(clip.label, changes[at % len(changes)](clip.joints[0].astype(np.float64), rng)) for at, clip in enumerate(clips)]


def _ntu(place: Path, name: str, clips: list[Clip], changes: list[Change]) -> list[bool]:
    folder = place / f"{name}-ntu"
    folder.mkdir()
    labels = sorted({clip.label for clip in clips})
    remap = Remap.between(KINECT_1, KINECT_2)
    for at, (label, bodies) in enumerate(_changed(clips, changes)):
        frames = len(bodies[0][1])
        lines = [str(frames)]
        mapped = [(identity, remap(joints.astype(np.float32), (joints != 0).any(-1).astype(np.float32))[0], there)
                  for identity, joints, there in bodies]
        for frame in range(frames):
            present = [(number, joints[frame]) for number, (_, joints, there) in enumerate(mapped) if there[frame]]
            lines.append(str(len(present)))
            for number, joints in present:
                lines += [f"7205759403793{number} 0 1 1 1 1 0 0 0 2", "25"]
                lines += [f"{x:.6g} {y:.6g} {z:.6g} 0 0 0 0 0 0 0 0 2" for x, y, z in joints.tolist()]
        path = folder / f"S001C001P001R{at:03d}A{labels.index(label) + 1:03d}.skeleton"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
    import_dataset("ntu", folder, place / f"{name}-ntu.store", topology="kinect-v1")
    return _recognised(Store.open(place / f"{name}-ntu.store"), lambda clip: labels[int(clip.label[1:]) - 1])


def _csv(place: Path, name: str, clips: list[Clip], changes: list[Change]) -> list[bool]:
    folder = place / f"{name}-csv"
    for at, (label, bodies) in enumerate(_changed(clips, changes)):
        lines = [",".join(["time", "person", *(f"{joint}_{axis}" for joint in KINECT_1.joints for axis in "xyz")])]
        for frame in range(len(bodies[0][1])):
            lines += [f"{frame / 30:.4f},{identity}," + ",".join(f"{value:.6g}" for value in joints[frame].ravel().tolist())
                      for identity, joints, there in bodies if there[frame]]
        path = folder / label / f"s1_{at}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "dataset.toml").write_text(TOML + '[csv]\nperson = "person"\n', encoding="utf-8")
    import_dataset("generic", folder, place / f"{name}-csv.store")
    return _recognised(Store.open(place / f"{name}-csv.store"), lambda clip: clip.label)


def _recognised(store: Store, label_of: Callable[[Clip], str]) -> list[bool]:
    from edgeskel.training.evaluation import TorchPredictor
    from edgeskel.window import fit_window

    predict = TorchPredictor(from_pretrained("edge-demo"))
    windows = [fit_window(clip.joints, clip.confidence, predict.persons, predict.frames) for clip in store]
    answers = predict(np.stack([joints for joints, _ in windows]), np.stack([seen for _, seen in windows]))
    return [predict.labels[int(answer.argmax())] == label_of(clip) for answer, clip in zip(answers, store, strict=True)]
