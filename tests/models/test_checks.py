"""A configuration that makes no recogniser is refused by the field's name, whatever a file or a setting put there."""

from __future__ import annotations

from typing import Any

import pytest

from edgeskel import topologies
from edgeskel.errors import UsageError
from edgeskel.models import create

NAN = float("nan")


@pytest.mark.parametrize(("name", "settings", "says"), [
    ("edge", {"widths": [1, 2]}, "widths of 2, regions of 3"),
    ("edge", {"widths": "wide"}, "widths = 'wide'"),
    ("edge", {"widths": (64, 128, 250)}, "widths that groups divides"),
    ("edge", {"groups": 7}, "widths that groups divides"),
    ("edge", {"groups": 0}, "groups = 0"),
    ("edge", {"blocks": (2, 0, 2)}, "blocks"),
    ("edge", {"regions": (0, -1, 6)}, "regions"),
    ("edge", {"kernel": 6}, "odd"),
    ("edge", {"stem_stride": 0}, "stem_stride = 0"),
    ("edge", {"dropout": 2}, "dropout = 2"),
    ("edge", {"dropout": NAN}, "dropout = nan"),
    ("edge", {"dropout": "much"}, "dropout = 'much'"),
    ("edge", {"frames": 0}, "frames = 0"),
    ("edge", {"frames": 6.5}, "frames = 6.5"),
    ("edge", {"source_frames": -5}, "source_frames = -5"),
    ("edge", {"persons": 0}, "persons = 0"),
    ("edge", {"persons": True}, "persons = True"),
    ("edge", {"hop": 0}, "hop = 0"),
    ("edge", {"rate_hz": NAN}, "rate_hz = nan"),
    ("edge", {"low_rank": 3}, "low_rank = 3"),
    ("edge", {"low_rank": {"blocks.0.expand.0": "4"}}, "low_rank"),
    ("edge", {"labels": ()}, "labels"),
    ("edge", {"labels": ("a", "a")}, "each once"),
    ("edge", {"streams": ()}, "streams"),
    ("edge", {"streams": "joint"}, "streams = 'joint'"),
    ("hyperformer", {"heads": 0}, "heads = 0"),
    ("hyperformer", {"blocks": 0}, "blocks = 0"),
    ("hyperformer", {"partition": (0, -1)}, "partition"),
    ("hyperformer", {"persons": 0}, "persons = 0"),
])
def test_a_field_that_cannot_be_is_named(name: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        create(name, **{"topology": topologies.get("kinect-v1"), "labels": ("a", "b"), **settings})
