"""What the demonstrations alone say of how well an action will be recognised."""

from __future__ import annotations

import numpy as np

from edgeskel.continual.device.review import review
from edgeskel.embedding import ClassStatistics
from tests.continual.device.conftest import OLD, World


def shown(world: World, *classes: int) -> list[tuple[str, np.ndarray]]:
    return [("new", world.draw(index, 1)[0]) for index in classes]


def test_demonstrations_of_one_action_recognise_each_other(knowledge: ClassStatistics, world: World) -> None:
    found = review(knowledge, shown(world, *[OLD] * 5), "new")
    assert found.recognised is not None and found.recognised >= 4 and found.sure
    assert found.warnings() == [] and not found.another_helps


def test_demonstrations_of_several_actions_are_warned_of(knowledge: ClassStatistics, world: World) -> None:
    found = review(knowledge, shown(world, 0, 1, OLD, 3, OLD + 1), "new")
    assert not found.alike and "do not resemble each other" in found.warnings()[0]
    assert not found.another_helps  # more of them would not mend it


def test_an_action_that_looks_like_an_old_one_names_it(knowledge: ClassStatistics, world: World) -> None:
    found = review(knowledge, [*shown(world, 2, 2, 2), *(("other", one) for one in world.draw(OLD, 5))], "new")
    assert not found.sure and set(found.mistaken_for) == {"old 2"}
    assert "'old 2'" in found.warnings()[-1]
    assert found.another_helps


def test_one_demonstration_says_nothing_and_another_would(knowledge: ClassStatistics, world: World) -> None:
    found = review(knowledge, shown(world, OLD), "new")
    assert found.recognised is None and found.warnings() == [] and found.another_helps
