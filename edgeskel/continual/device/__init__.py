"""Learning on the device: new actions from a few demonstrations, on the frozen embedding. Numpy and the standard library.

    from edgeskel.continual.device import ClassStatistics, DemonstrationStore, with_learned

    memory = DemonstrationStore.open("learned.sqlite", ClassStatistics.of_bundle(bundle))
    memory.learn("pour water", demonstration)
    session = with_learned(session, memory.learner())
    session.recognise(joints, confidence).label        # an old action or a new one
"""

from edgeskel.continual.device.demonstration import Demonstration
from edgeskel.continual.device.demonstration_store import DemonstrationStore
from edgeskel.continual.device.head import LearnedEngine, joined, with_learned
from edgeskel.continual.device.learner import LEARNERS, Learner, create, load
from edgeskel.embedding.statistics import ClassStatistics

__all__ = [
    "LEARNERS", "Demonstration", "ClassStatistics", "LearnedEngine", "Learner", "DemonstrationStore", "create", "joined", "load",
    "with_learned",
]
