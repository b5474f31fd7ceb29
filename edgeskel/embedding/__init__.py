"""What a trained recogniser's embedding looks like: measured when it is trained, read by whatever learns on a device.

``statistics`` and what it needs is numpy only; ``measure`` needs torch.
"""

from edgeskel.embedding.statistics import ClassStatistics

__all__ = ["ClassStatistics"]
