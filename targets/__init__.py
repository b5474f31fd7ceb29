"""Kinds of device: one file each, found by name.

A new target is one new file with a ``PROFILE`` and one word in :data:`TARGETS`.
"""

from __future__ import annotations

from importlib import import_module

from edgeskel.errors import UnknownChoice
from targets.profile import Profile

__all__ = ["TARGETS", "Profile", "get"]

TARGETS = ("android", "host", "ios", "jetson")


def get(name: str) -> Profile:
    """The profile of a target.

    Raises:
        UnknownChoice: no such target; the message lists those there are.
    """
    if name not in TARGETS:
        raise UnknownChoice("target", name, TARGETS)
    profile: Profile = import_module(f"targets.{name}").PROFILE
    return profile
