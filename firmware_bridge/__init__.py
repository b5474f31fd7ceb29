"""Sensors to skeleton frames.

with firmware_bridge.open_source("replay:walk.npz?speed=2") as source:
    for frame in source:
        ...
"""

from __future__ import annotations

from firmware_bridge.source import SCHEMES, Source, open_source

__all__ = ["SCHEMES", "Source", "open_source"]
