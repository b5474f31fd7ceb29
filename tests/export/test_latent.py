"""Latent replay: trunk and tail together are the recogniser, and the tail learns on ExecuTorch alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeskel.continual.device.latent_replay import BATCH, LatentReplay
from edgeskel.continual.device.replay_latents import ReplayLatents
from edgeskel.errors import CorruptFile, EngineError, ExportError, InvalidClip, UsageError
from edgeskel.window import fit_window
from tests.export.conftest import small_recogniser

NEW = ("squat", "bowling")
Window = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def made(utd_store: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The base that has not seen five actions, and the folder of its trunk and tail."""
    from edgeskel.data import split
    from edgeskel.models import from_pretrained
    from export.latent import write_latent_replay

    recogniser = from_pretrained("edge-utd-mhad-22")
    folder = tmp_path_factory.mktemp("latent")
    write_latent_replay(recogniser, folder, utd_store, split(utd_store, validation=0).train, each=1)
    return recogniser, folder


def windows(store: Any, label: str, subjects: tuple[bytes, ...]) -> list[Window]:
    chosen = [index for index in range(len(store)) if store.labels[int(store.index["label"][index])] == label
              and store.index["subject"][index] in subjects]
    fitted = [fit_window(store[index].joints, store[index].confidence, 1, 128) for index in chosen]
    return [(joints[None], confidence[None]) for joints, confidence in fitted]


def predictions(deep: LatentReplay, some: list[Window]) -> np.ndarray:
    latents = [deep.latents(*window) for window in some]
    return deep.predict(*(np.stack([one[part] for one in latents]) for part in (0, 1)))


def test_trunk_and_tail_give_the_recognisers_own_answers(made: tuple[Any, Path], utd_store: Any) -> None:
    recogniser, folder = made
    deep = LatentReplay(folder)
    assert deep.labels == recogniser.config.labels
    some = [window for label in ("wave", "walk", "lunge", "squat") for window in windows(utd_store, label, (b"2", b"4"))[:5]]
    answers = predictions(deep, some)
    assert len(answers) == 20 > BATCH  # more than one batch, and a part of one
    with torch.no_grad():
        own = [recogniser(*map(torch.from_numpy, window)).softmax(-1)[0].numpy() for window in some]
    assert answers == pytest.approx(np.stack(own), abs=1e-4)


def test_the_last_layers_learn_new_actions_and_keep_the_old(made: tuple[Any, Path], utd_store: Any) -> None:
    deep = LatentReplay(made[1])
    for label in NEW:
        for window in windows(utd_store, label, (b"1",)):
            deep.learn(deep.latents(*window), label)
    before = {name: values.numpy().copy() for name, values in deep._parameters.items()}
    deep.train(steps=30)
    assert all(np.abs(values.numpy() - before[name]).max() > 0 for name, values in deep._parameters.items())
    for label in (*NEW, "wave", "walk"):
        answers = predictions(deep, windows(utd_store, label, (b"2", b"4"))).argmax(-1)
        assert np.mean([deep.labels[int(answer)] == label for answer in answers]) >= 0.75


def test_eight_bits_hold_a_latent_to_half_a_step() -> None:
    rng = np.random.default_rng(0)
    entering, added = (np.maximum(rng.normal(size=(4, 6, 5)), 0).astype(np.float32) for _ in range(2))
    replay = ReplayLatents.of(("a",), entering, added, np.zeros(4, np.int64))
    for kept, exact, step in zip(replay.latents(np.arange(4)), (entering, added), replay.scales, strict=True):
        assert np.abs(kept - exact).max() <= 0.51 * step


def test_what_is_refused(made: tuple[Any, Path], utd_store: Any, tmp_path: Path) -> None:
    from export.latent import Trunk

    recogniser, folder = made
    deep = LatentReplay(folder)
    with pytest.raises(UsageError, match="knows"):
        deep.learn(deep.latents(*windows(utd_store, "wave", (b"1",))[0]), recogniser.config.labels[0])
    with pytest.raises(InvalidClip):
        deep.learn((np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32)), "new")
    with pytest.raises(UsageError, match="demonstration"):
        deep.train()
    with pytest.raises(ExportError, match="one person"):
        Trunk(small_recogniser(persons=2))
    for name, error in (("replay.npz", CorruptFile), ("tail.pte", EngineError), ("trunk.pte", EngineError)):
        broken = tmp_path / name
        shutil.copytree(folder, broken)
        (broken / name).write_bytes(b"torn")
        with pytest.raises(error):
            LatentReplay(broken)
