"""Class-incremental training on the workstation: CHARON, its baselines, the protocols, and one loop for all of them.

Importing this room needs no torch; its modules but ``config`` and ``protocols`` do.
"""

from __future__ import annotations

from edgeskel.continual.training.config import ContinualConfig
from edgeskel.continual.training.protocols import PROTOCOLS, Sequence, Task, sequence

__all__ = ["PROTOCOLS", "ContinualConfig", "Sequence", "Task", "sequence"]
