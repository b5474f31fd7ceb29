"""By how much a new action must be ahead of the old ones, judged from what is known of the old ones: a device has no recording.

Unseen clips of the old actions are drawn about their means, wider than the clips that were trained on, and it is counted how many
of them the new actions would take. Where they would take none, the likeliest label wins; where they would take some, new actions
must be ahead. On people and actions held out of the training parts of five data sets (seven models of the product's own recipe)
82 % of the new actions were found by whole clip and 78 % in streams so, and 1.0 and 1.7 points of the old ones were lost. Without
a bound it was 84 % and 81 %, 1.6 and 2.3 points; with up to 0.06 81 % and 76 %, 0.8 and 1.4 points.

Axes: K classes of the recogniser, L learned labels, D width of a view (the embedding, or the coordinates of the trajectory).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeskel.embedding.covariance import root
from edgeskel.skeleton import Float32

__all__ = ["MOST", "Known", "drawn", "least_lead"]

DRAWS, DEPARTURES = 24, 96
"""Clips of each old class, and ways in which they depart from a mean in all, which the classes share: most of the time goes
there."""
WIDER = (4.0, 2.5)
"""Times the standard deviation of clips that were trained on, of embeddings and of trajectories: unseen people lie so much farther
out. The network has drawn its own clips together; it never touched the trajectories."""
TAKEN = 0.01
"""Share of the drawn clips that may be taken."""
MOST = 0.04
"""Cosine by which a new action must be ahead at most: of 0, 0.03, 0.04, 0.05 and 0.06 the least that loses under a point of the
old ones, on those held-out people and actions."""
STEP = 0.01
"""Between two of them that are tried."""
_SEED = 20_26


class Known(Protocol):
    """Means and covariances of the recogniser's own classes in one view."""

    @property
    def means(self) -> Float32:
        """(K, D)."""

    @property
    def covariance(self) -> Float32:
        """(D, D) within a class."""

    @property
    def varied(self) -> Float32 | None:
        """(D, D) of changed clips."""


def drawn(views: Sequence[Known]) -> list[Float32]:
    """Of each view (K * DRAWS, D), always the same ones, ordered by class."""
    rng = np.random.default_rng(_SEED)
    found: list[Float32] = []
    for known, wider in zip(views, WIDER, strict=True):
        covariance = known.covariance.astype(np.float64)
        if known.varied is not None:
            covariance += known.varied
        noise = rng.standard_normal((DEPARTURES, len(covariance)), np.float32)
        departures = noise @ (wider * root(covariance).T).astype(np.float32)
        means = np.repeat(known.means, DRAWS, 0)
        found.append((means + departures[np.arange(len(means)) % DEPARTURES]).astype(np.float32))
    return found


def least_lead(cosines: NDArray[np.float64], classes: int) -> float:
    """By how much a new action's cosine must be ahead, from 0 to ``MOST``.

    Args:
        cosines: (K * DRAWS, K + L) of what :func:`drawn` gave.
        classes: K.
    """
    own = cosines[np.arange(len(cosines)), np.repeat(np.arange(classes), DRAWS)]
    ahead = cosines[:, classes:].max(-1) - own
    return next((float(lead) for lead in np.arange(0, MOST, STEP) if (ahead > lead).mean() <= TAKEN), MOST)
