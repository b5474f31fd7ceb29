"""BVH motion capture into clips: names, unit, and the axis that points up.

Axes: T frames, V joints; the last axis is x, y, z.

BVH says neither its unit nor which axis points up. The unit has to be said (``--unit``: m, cm, mm, inch, or metres of one
unit, such as 0.056444 for the CMU library) and is checked by the size of the person in motion. y points up by convention,
and ``--up`` says otherwise; a file in which people stand along another axis is refused until it is said.

Names are brought into our vocabulary (:mod:`edgeskel.data.importers.bvh_names`), those that are not known stay, and the
import names them; ``--topology`` brings the joints into another layout by name. The aliases of a layout of your own name
the joints of a file that nobody else understands. A clip's label is ``--label`` or the name of its file's folder. Several
files in one store need one hierarchy, or ``--topology``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskel import topologies
from edgeskel.coordinates import metres_of
from edgeskel.data.importers.bvh_file import Bvh, read_bvh
from edgeskel.data.importers.bvh_names import layout, not_understood
from edgeskel.data.importers.bvh_size import extent, standing
from edgeskel.data.importers.common import ImportOptions, Recordings, RefusedFile, make_clip, take
from edgeskel.data.importers.finding import find
from edgeskel.errors import CorruptFile, InvalidClip, TopologyMismatch, UnknownChoice, UsageError
from edgeskel.skeleton import Clip, Topology
from edgeskel.topologies.remap import Remap, remap_clip

__all__ = ["read_bvh", "recordings"]

OPTIONS = ("unit", "up", "label")
UNITS = ("m", "cm", "mm", "inch")
"""That programs write."""
CMU = "0.056444"  # metres of one unit of the CMU library as it is converted: 1 / 0.45 inches
UP = {"x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)), "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)), "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
      "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)), "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
      "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0))}
"""Axis that points up in the file -> the turn that makes it y: ``ours = matrix @ theirs``."""


def recordings(folder: Path, options: ImportOptions) -> Recordings:
    """Find ``.bvh`` files in the folder and below it."""
    if not options.unit:
        raise UsageError("BVH files do not say their unit", expected=f"--unit {', '.join(UNITS)}, or metres as a number",
                         remedy="the offset of a knee is about 0.45 m, 45 cm or 450 mm")
    metres = _metres(options.unit)
    if options.up and options.up not in UP:
        raise UnknownChoice("axis that points up", options.up, UP)
    files = find(folder, "**/*.bvh", "BVH files")
    first, named = _first_whole(files)
    target = topologies.get(options.topology) if options.topology else None
    own = _own(first, named, target)
    labels = [options.label or file.parent.name for file in files]
    return Recordings("bvh", target or own, tuple(sorted(set(labels))), round(1 / first.frame_time, 3), len(files),
                      _clips(folder, files, labels, target or own, named, metres, options), measured=False)


def _metres(unit: str) -> float:
    """Metres of one unit."""
    try:
        metres = float(unit)
    except ValueError:
        return metres_of(unit)
    if not 0 < metres < 1000:
        raise UsageError(f"--unit {unit}", expected="metres of one unit, such as 0.056444")
    return metres


def _own(bvh: Bvh, file: Path, target: Topology | None) -> Topology:
    """The file's hierarchy in our vocabulary; names of a layout of the user's own go before ours."""
    aliases: dict[str, str] = {}
    if target is not None and target.name not in topologies.names():
        aliases = dict(zip(target.joints, target.joints, strict=True))
        aliases |= {alias: joint for alias, joint in zip(target.aliases, target.joints, strict=False) if alias}
    return layout(bvh.names, bvh.parents, file.stem, aliases)


def _first_whole(files: list[Path]) -> tuple[Bvh, Path]:
    """The first file that can be read gives the store its layout and rate. Raises the first one's error if none can."""
    errors: list[CorruptFile] = []
    for file in files:
        try:
            return read_bvh(file), file
        except CorruptFile as error:
            errors.append(error)
    raise errors[0]


def _clips(folder: Path, files: list[Path], labels: list[str], topology: Topology, named: Path, metres: float,
           options: ImportOptions) -> Iterator[Clip | RefusedFile]:
    for file, label in zip(files, labels, strict=True):
        source = file.relative_to(folder).as_posix()
        yield take(source, partial(_clip, file, source, label, topology, named, metres, options))


def _clip(file: Path, source: str, label: str, topology: Topology, named: Path, metres: float, options: ImportOptions) -> Clip:
    bvh = read_bvh(file)
    own = _own(bvh, file, topology if options.topology else None)
    positions = _upright(bvh.positions() * metres, own, source, options)
    clip = make_clip(positions[None], options, source=source, label=label, rate_hz=1 / bvh.frame_time)
    _check_size(positions, own, source, metres, options)
    _remark(bvh, own, topology, source, options)
    if options.topology:
        return remap_clip(clip, own, topology)
    if (own.joints, own.parents) != (topology.joints, topology.parents):
        raise TopologyMismatch(f"{source}: another hierarchy than {named.name}", expected="one hierarchy in a store",
                               remedy="give --topology to bring all of them into one layout")
    return clip


def _upright(positions: NDArray[np.float64], own: Topology, source: str, options: ImportOptions) -> NDArray[np.float64]:
    """(T, V, 3) with y up."""
    found = "" if options.up else standing(positions, own)
    if found not in ("", "y"):
        raise InvalidClip(f"{source}: people stand along {found}, not along y", expected="y up, as BVH has it by convention",
                          remedy=f"give --up{'=' if found.startswith('-') else ' '}{found}, or --up y if they really lie")
    return positions @ np.array(UP[options.up or "y"], np.float64).T


def _check_size(positions: NDArray[np.float64], own: Topology, source: str, metres: float, options: ImportOptions) -> None:
    size, what, (smallest, largest) = extent(positions, own)
    if np.isfinite(size) and not smallest <= size <= largest:
        fits = [unit for unit, factor in [*((unit, metres_of(unit)) for unit in UNITS), (CMU, float(CMU))]
                if smallest <= size / metres * factor <= largest and factor != metres]
        one = 1.7 / size * metres if size > 0 else 0.0
        raise InvalidClip(f"{source}: {what} of {size:.3g} m with unit {options.unit}", expected=f"{smallest} to {largest} m",
                          remedy=f"give the right --unit: {' or '.join(fits)} would fit" if fits else
                          f"give the right --unit as metres of one unit; about {one:.3g} makes a person of 1.7 m")


def _remark(bvh: Bvh, own: Topology, topology: Topology, source: str, options: ImportOptions) -> None:
    if bvh.stated_frames != len(bvh.motion):
        options.notes.add("the file says another number of frames than it has; all whole rows are taken", source,
                          f"Frames: {bvh.stated_frames}, {len(bvh.motion)} rows")
    unknown = not_understood(own)
    if unknown:
        options.notes.add(f"joint names that are not understood and keep their own: {', '.join(unknown)}", source)
    if options.topology:
        missing = Remap.between(own, topology).missing
        if missing:
            options.notes.add(f"joints of {topology.name} that the file does not give are missing in every frame: "
                              f"{', '.join(missing)}", source)
