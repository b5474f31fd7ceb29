"""What a target is: which artifacts it gets, which engines run them, and what its device must have."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Profile"]


@dataclass(frozen=True)
class Profile:
    """One kind of device.

    Args:
        name: as in ``edgeskel export --target NAME``.
        purpose: one line for a person.
        artifacts: what is exported, by the names of ``export.build.KINDS``, the preferred one first.
        extra: the extra of edgeskel that the exporting machine needs.
        packages: what the device needs: package -> how it gets there.
        programs: programs of ours that travel in the bundle.
        notes: what its user should know.
    """

    name: str
    purpose: str
    artifacts: tuple[str, ...]
    extra: str
    packages: dict[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
