"""The base that has not seen five of UTD-MHAD's actions, and clips of those."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeskel.skeleton import Clip

BASE = "edge-utd-mhad-22"
NEW = ("catch", "throw", "draw_triangle", "bowling", "squat")


@pytest.fixture(scope="session")
def base_folder() -> Path:
    from edgeskel.models import folder_of

    return folder_of(BASE)


@pytest.fixture(scope="session")
def base_session(base_folder: Path) -> Any:
    """The base, run by torch."""
    from edgeskel.models import from_pretrained
    from edgeskel.runtime import session_of

    return session_of(from_pretrained(base_folder), threads=1)


@pytest.fixture(scope="session")
def base_knowledge(base_folder: Path) -> Any:
    from edgeskel.embedding import ClassStatistics, statistics

    return ClassStatistics.load(base_folder / statistics.FILE)


@pytest.fixture(scope="session")
def clips_of(utd_store: Any) -> Callable[[str, str], list[Clip]]:
    """``clips_of(label, subjects)``: recorded clips, those of UTD-MHAD's training subjects first."""

    def clips(label: str, subjects: str) -> list[Clip]:
        return [utd_store[index] for index in range(len(utd_store))
                if utd_store.labels[int(utd_store.index["label"][index])] == label
                and utd_store.index["subject"][index].decode() in subjects.split(",")]

    return clips
