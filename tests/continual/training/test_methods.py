"""Each method does what it is named for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgeskel.continual.training.buffer import clip_bytes
from edgeskel.continual.training.charon import Charon
from edgeskel.continual.training.clips import Clips
from edgeskel.continual.training.config import METHODS
from edgeskel.continual.training.cost import peak_bytes
from edgeskel.continual.training.icarl import Exemplars
from edgeskel.continual.training.masking import draw_tuples, take_tuples
from edgeskel.continual.training.method import ContinualMethod, TaskSetup, recipe_for
from edgeskel.continual.training.methods import method_named
from edgeskel.continual.training.regularised import WeightConsolidation, WithoutForgetting
from edgeskel.data import Store
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.models import Recogniser, create
from edgeskel.training.data import Batch, WindowDataset
from edgeskel.training.methods import settings_of
from tests.continual.training.conftest import CLASSES, FRAMES

BUDGET = 40 * clip_bytes(1, 24, 20)
Make = Callable[..., Clips]


def _method(name: str, recogniser: Recogniser, **settings: Any) -> Any:
    kind = method_named(name)
    recipe = recipe_for(kind, settings)
    store: Any = None  # no method looks at it
    return kind(TaskSetup(recogniser.encoder, recogniser.classifier, recipe, settings_of(kind, recipe.method_settings), store,
                          np.arange(0), budget=BUDGET))


def _loss(method: ContinualMethod, clips: Clips) -> torch.Tensor:
    batch = Batch(*clips, torch.arange(len(clips)))
    return torch.stack(list(method.loss(method.recogniser.encoder, batch).values())).sum()


def _gradients(method: ContinualMethod, batch: Clips) -> dict[str, torch.Tensor]:
    method.recogniser.zero_grad()
    torch.manual_seed(5)
    _loss(method, batch).backward()
    return {name: value.grad.clone() for name, value in method.recogniser.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_two_tasks_and_comes_back_from_its_state(name: str, recogniser: Recogniser, clips: Make) -> None:
    method = _method(name, recogniser)
    for new in (range(2), range(2, 4)):
        method.begin(new)
        batch = clips(16, new, seed=new.start)
        loss = _loss(method, batch)
        loss.backward()
        assert loss.isfinite()
        method.end(batch)
    held = clips(8, range(4), seed=9)
    answer = method.predict(held)
    assert set(answer.tolist()) <= set(range(4))
    again = _method(name, copy.deepcopy(recogniser))
    again.recogniser.encoder.load_state_dict(method.recogniser.encoder.state_dict())
    again.load_state_dict(method.state_dict())
    again.seen = method.seen
    assert again.stored_bytes == method.stored_bytes <= max(BUDGET, 0 if name != "ewc" else method.stored_bytes)
    assert torch.equal(again.predict(held), answer)
    for one in (method, again):
        one.begin(range(4, 6))
    torch.manual_seed(2)
    first = _loss(method, clips(4, range(4, 6)))
    torch.manual_seed(2)
    assert torch.equal(first, _loss(again, clips(4, range(4, 6))))


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_predicts_the_finished_recogniser_says_too(name: str, recogniser: Recogniser, clips: Make) -> None:
    method = _method(name, recogniser)
    method.begin(range(2))
    method.end(clips(12))
    held = clips(20, seed=4)
    answer = method.predict(held)
    method.finish()
    recogniser.eval()
    assert torch.equal(recogniser(held.joints, held.confidence)[:, :2].argmax(1), answer)


def test_lwf_pulls_towards_the_answers_of_the_network_before(recogniser: Recogniser, clips: Make) -> None:
    method: WithoutForgetting = _method("lwf", recogniser, alpha=10.0)
    method.begin(range(2))
    method.begin(range(2, 4))
    batch = clips(16, range(2, 4))
    with torch.no_grad():  # the network has drifted: it now says class 1 where it was undecided
        recogniser.classifier.bias[1] += 3.0
    pull = _gradients(method, batch)["classifier.bias"]
    assert float(pull[1]) > 0 > float(pull[0])  # descending lowers 1 and raises 0


def test_lwf_has_nothing_to_hold_in_the_first_task(recogniser: Recogniser, clips: Make) -> None:
    method: WithoutForgetting = _method("lwf", recogniser)
    method.begin(range(2))
    assert not method.before
    method.begin(range(2, 4))
    before, = method.before
    assert not any(weight.requires_grad for weight in before.parameters())


def test_ewc_anchors_important_weights_more_than_others(recogniser: Recogniser, clips: Make) -> None:
    method: WeightConsolidation = _method("ewc", recogniser)
    method.begin(range(2))
    method.end(clips(12))
    importance = torch.cat([value.flatten() for value in method.importance.values()])
    assert float(importance.min()) >= 0 < float(importance.max())
    method.begin(range(2, 4))
    assert float(method.penalty().detach()) == 0  # at the anchor

    def cost(largest: bool) -> float:
        """Of moving the one weight of the classifier that matters most or least, by the same distance."""
        weight, matters = recogniser.classifier.weight, method.importance["classifier.weight"]
        place = int(matters.argmax() if largest else matters.argmin())
        with torch.no_grad():
            weight.view(-1)[place] += 0.1
            found = float(method.penalty())
            weight.view(-1)[place] -= 0.1
        return found

    assert cost(largest=True) > 10 * cost(largest=False)
    with torch.no_grad():
        recogniser.classifier.weight += 0.1
    before = recogniser.classifier.weight.detach().clone()
    gradient, = torch.autograd.grad(method.penalty(), [recogniser.classifier.weight])
    assert bool((gradient >= 0).all()) and not torch.equal(gradient, torch.zeros_like(before))  # back down to the anchor


def test_er_ace_spares_old_classes_from_new_clips(recogniser: Recogniser, clips: Make) -> None:
    """The part of the loss that new clips make has no say over the places of old classes."""
    method = _method("er-ace", recogniser)
    method.begin(range(2))
    method.end(clips(12))
    method.begin(range(2, 4))
    new = clips(4, range(2, 4))
    logits = torch.zeros(4, 6, requires_grad=True)
    nothing = torch.zeros(4, 6)
    sum(method.terms(logits, new, nothing, clips(4)).values()).backward()
    assert logits.grad is not None
    assert float(logits.grad[:, :2].abs().max()) == 0 < float(logits.grad[:, 2:4].abs().min())
    plain = _method("er", recogniser)
    logits = torch.zeros(4, 6, requires_grad=True)
    sum(plain.terms(logits, new, nothing, clips(4)).values()).backward()
    assert logits.grad is not None
    assert float(logits.grad[:, :2].min()) > 0  # plain replay pushes them down


def test_der_holds_the_network_to_the_logits_it_stored(recogniser: Recogniser, clips: Make) -> None:
    method = _method("der++", recogniser, alpha=1.0, beta=0.0)
    method.begin(range(2))
    first = clips(12)
    method.end(first)
    torch.testing.assert_close(method.buffer.logits, method.logits(first))
    method.begin(range(2, 4))
    batch = clips(4, range(2, 4))
    torch.manual_seed(3)
    near = float(_loss(method, batch).detach())
    method.buffer.logits = method.buffer.logits + 5
    torch.manual_seed(3)
    assert float(_loss(method, batch).detach()) > near + 10


def test_icarl_keeps_equal_numbers_of_each_class_within_its_budget(recogniser: Recogniser, clips: Make) -> None:
    method: Exemplars = _method("icarl", recogniser)
    for new in (range(2), range(2, 4), range(4, 6)):
        method.begin(new)
        method.end(clips(60, new, seed=new.start))
        assert [len(kept) for kept in method.exemplars] == [40 // new.stop] * new.stop
        assert method.stored_bytes <= BUDGET
    for target, kept in enumerate(method.exemplars):
        assert set(kept.targets.tolist()) == {target}


def test_charon_shows_its_encoder_fewer_frames(recogniser: Recogniser, clips: Make) -> None:
    seen: list[int] = []
    recogniser.encoder.stem.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[2]))
    for ratio in (0.0, 0.34, 0.67):
        method = _method("charon", recogniser, mask_ratio=ratio)
        method.begin(range(2))
        _loss(method, clips(4))
    assert seen == [24, 8, 8]
    seen.clear()
    method.logits(clips(4))
    assert seen == [24]  # all of it when it is asked


def test_masked_tuples_keep_their_frames_and_their_order() -> None:
    torch.manual_seed(0)
    streams = torch.arange(24.0).view(1, 1, 24, 1).expand(5, 2, 24, 3)
    kept = draw_tuples(5, 6, 0.5)
    assert kept.shape == (5, 3)
    part = take_tuples(streams, kept, 4)
    for body in range(5):
        expected = [4 * place + frame for place in kept[body].tolist() for frame in range(4)]
        assert part[body, 1, :, 2].tolist() == expected == sorted(set(expected))
    assert len({tuple(row.tolist()) for row in draw_tuples(64, 6, 0.5)}) > 5
    assert draw_tuples(2, 6, 0.0).tolist() == [[0, 1, 2, 3, 4, 5]] * 2


def test_masking_saves_memory(recogniser: Recogniser, clips: Make) -> None:
    peaks = []
    for ratio in (0.0, 0.67):
        method: Charon = _method("charon", recogniser, mask_ratio=ratio)
        method.begin(range(2))
        batch = clips(16)
        _loss(method, batch)
        peaks.append(peak_bytes(lambda method=method, batch=batch: _loss(method, batch).backward()))
    assert peaks[1] < 0.75 * peaks[0]


def test_charon_stores_more_clips_than_der_in_no_more_bytes(recogniser: Recogniser, clips: Make) -> None:
    many = clips(400)
    methods = [_method(name, copy.deepcopy(recogniser), **settings)
               for name, settings in (("der++", {}), ("charon", {"step": 4}))]
    for method in methods:
        method.begin(range(2))
        method.end(many)
        assert 0 < method.stored_bytes <= BUDGET
    plain, compressed = methods
    assert plain.buffer.bytes / len(plain.buffer) > 3.5 * compressed.buffer.bytes / len(compressed.buffer)
    assert len(compressed.buffer) > 2 * len(plain.buffer)  # the decoder takes its share of these 78 kB
    assert compressed.buffer.draw(3).clips.joints.shape == many.joints[:3].shape


def test_charon_reconstructs_recorded_motion_of_which_it_sees_a_third(recogniser: Recogniser, utd_store: Store) -> None:
    """The decoder learns what bodies look like: of the size of the coordinates a fifth is left as error."""
    torch.manual_seed(0)
    real = Clips.of(WindowDataset(utd_store, np.arange(0, 861, 27), np.arange(27) % CLASSES, 1, FRAMES, stretch=True).all())
    method: Charon = _method("charon", recogniser, mask_ratio=0.67)
    method.begin(range(CLASSES))
    size = float(method.inputs([real])[0][:, :3].square().mean())
    optimizer = torch.optim.Adam([*recogniser.parameters(), *method.decoder.parameters()], 1e-2)
    errors = []
    for _ in range(50):
        error = method.masked([real])[1][0]
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[0] > 0.7 * size
    assert errors[-1] < 0.2 * size


def test_the_linear_probe_moves_the_classifier_alone_and_fits_it(recogniser: Recogniser, clips: Make) -> None:
    method: Charon = _method("charon", recogniser, probe_epochs=30)
    method.begin(range(2))
    batch = clips(32)
    before = {name: value.clone() for name, value in recogniser.state_dict().items()}
    loss = functional.cross_entropy(method.logits(batch), batch.targets)
    method.probe(batch)
    assert functional.cross_entropy(method.logits(batch), batch.targets) < loss
    for name, value in recogniser.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("classifier"), name


def test_charon_brings_stored_logits_up_to_date(recogniser: Recogniser, clips: Make) -> None:
    method: Charon = _method("charon", recogniser)
    method.begin(range(2))
    method.end(clips(12))
    with torch.no_grad():
        recogniser.classifier.bias += 1.0
    method.begin(range(2, 4))
    method.end(clips(12, range(2, 4), seed=1))
    torch.testing.assert_close(method.buffer.logits, method.logits(method.buffer.at(slice(None)).clips))


@pytest.mark.parametrize("name", ["der++", "charon"])
def test_two_persons_are_one_clip(name: str, recogniser: Recogniser, clips: Make) -> None:
    pair = create("edge", **{**vars(recogniser.config), "persons": 2})
    method = _method(name, pair)
    alone = clips(12)
    # The second person is there in half of the clips.
    there = torch.ones(12, 1, 1, 1)
    there[::2] = 0
    both = Clips(torch.cat((alone.joints, alone.joints + 1), 1), torch.cat((alone.confidence, alone.confidence * there), 1),
                 alone.targets)
    method.begin(range(2))
    method.end(both)
    method.begin(range(2, 4))
    loss = _loss(method, both)
    loss.backward()
    assert loss.isfinite()
    assert method.logits(both).shape == (12, CLASSES)
    assert method.buffer.draw(2).clips.joints.shape == (2, 2, FRAMES, 20, 3)


@pytest.mark.parametrize(("settings", "error"), [
    ({"alfa": 1.0}, UnknownChoice), ({"alpha": -1.0}, UsageError), ({"epochs": 0}, UsageError), ({"step": 0}, UsageError),
    ({"mask_ratio": 1.0}, UsageError), ({"alpha": float("nan")}, UsageError), ({"epochs": 1.5}, UsageError),
    ({"batch_size": 1}, UsageError),
])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        recipe_for(method_named("charon"), settings)


def test_an_unknown_method_is_refused_with_the_list() -> None:
    with pytest.raises(UnknownChoice, match="der\\+\\+"):
        method_named("der")
