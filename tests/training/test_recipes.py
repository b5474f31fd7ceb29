"""Recipes: one table, changed by name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.training.recipes import RECIPES, Augment, Optimizer, Recipe, change, parse_settings, recipe_for


def test_settings_are_toml_or_text():
    parsed = parse_settings(["epochs=3", "widths=[32, 64]", "align=body", "mirror={wave='wave'}", "learning-rate=1e-2"])
    assert parsed == {"epochs": 3, "widths": [32, 64], "align": "body", "mirror": {"wave": "wave"}, "learning_rate": 0.01}


@pytest.mark.parametrize("setting", ["epochs", "=3"])
def test_a_setting_needs_name_and_value(setting):
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_settings([setting])


def test_each_setting_reaches_its_place():
    changed = change(recipe_for("edge", "synthetic"), {"epochs": 3, "crop": 0, "widths": [8, 16]}, ["widths", "labels"])
    assert changed.epochs == 3
    assert changed.augment.crop == 0.0
    assert changed.model == {"widths": (8, 16)}


def test_a_name_of_both_augmentation_and_recogniser_means_the_recogniser():
    changed = change(Recipe(), {"frames": 32, "augment_frames": 48}, ["frames"])
    assert changed.model["frames"] == 32
    assert changed.augment.frames == 48


def test_unknown_settings_are_refused_with_the_list():
    with pytest.raises(UnknownChoice, match="epochs") as caught:
        change(Recipe(), {"epoch": 3}, [])
    assert "joint_dropout" in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [{"epochs": "many"}, {"epochs": 0}, {"noise": -1.0}, {"optimizer": "adam"}, {"crop": 1.0}, {"average": 2},
     {"learning_rate": float("nan")}, {"learning_rate": 0}, {"noise": float("inf")}, {"weight_decay": -1}],
)
def test_senseless_values_are_refused(setting):
    with pytest.raises(UsageError):
        change(Recipe(), setting, [])


def test_every_recogniser_has_a_recipe_for_any_dataset():
    from edgeskel.models import names

    assert all(isinstance(recipe_for(name, "mine"), Recipe) for name in names())
    assert {name for name, _ in RECIPES} <= set(names())


def test_no_recipe_field_shadows_an_augmentation():
    assert not {item.name for owner in (Recipe, Optimizer) for item in fields(owner)} & {item.name for item in fields(Augment)}
