"""The platform-free part of the phone packages: compiled here where a compiler is, and held against ``edgeskel.runtime``."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeskel.runtime import ranges
from tests.targets import live_streams, manifest_vectors, phones, random_streams, service_streams, vectors
from tests.targets.phones import KOTLIN, ROOT, SWIFT

RANGED = 14 * len(ranges.RANGES) + 8  # manifests with a number in or out of its range


def _made(kind: type[phones.Kotlin] | type[phones.Swift], once: Callable[..., Path]) -> Any:
    def compiled(folder: Path) -> None:
        folder.mkdir()
        kind(folder)

    try:
        return kind(once(kind.name, compiled))
    except phones.Absent as absent:
        if os.environ.get("CI") == "true":
            pytest.fail(str(absent), pytrace=False)
        pytest.skip(str(absent))


@pytest.fixture(scope="session")
def kotlin(once: Callable[..., Path]) -> phones.Kotlin:
    return _made(phones.Kotlin, once)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def swift(once: Callable[..., Path]) -> phones.Swift:
    return _made(phones.Swift, once)  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", vectors.FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_written_vectors_are_what_the_runtime_computes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == vectors.FILES[path](), "run: python -m tests.targets.vectors"


def test_every_joint_of_the_shipped_models_but_none_too_many_comes_from_mediapipe() -> None:
    table = vectors.recipes()
    assert table["left_wrist"] == [15] and table["pelvis"] == [23, 24]
    assert all(0 <= landmark < 33 for recipe in table.values() for landmark in recipe)


@pytest.fixture(scope="session")
def altered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of 300 manifests with one or two characters changed under the old digest, and of others with numbers at the ends of
    their ranges; and what Python makes of each."""
    choose = random.Random(0)
    whole = json.dumps(manifest_vectors.manifest(), indent=1)
    seal, cases = manifest_vectors.sealed(whole)["seal"], []
    for _ in range(300):
        text = list(whole)
        for _ in range(choose.choice((1, 1, 2))):
            place = choose.randrange(len(text))
            text[place] = choose.choice(("", " ", "0", "9", "x", '"', "\\", "{", "]", ",", "\n", "\t", "é", text[place] * 2))
        cases.append(manifest_vectors.verdict("altered", "".join(text), seal))
    assert sum(case["taken"] for case in cases) < 20  # where a character was put in its own place
    numbers = list(manifest_vectors.ranged())
    assert len(numbers) == RANGED and 80 < sum(case["taken"] for case in numbers) < len(numbers) - 150
    path = tmp_path_factory.mktemp("vectors") / "altered.json"
    none: dict[str, list[object]] = {name: [] for name in json.loads(vectors.golden())}
    path.write_text(json.dumps(none | {"manifest": cases + numbers}), encoding="utf-8")
    return path


GOLDEN = KOTLIN / "edgeskel/src/test/resources/golden.json"


def _agreed(said: str) -> list[int]:
    return [int(count) for count in re.findall(r"(\d+) comparisons agree", said)]


def test_kotlin_agrees(kotlin: phones.Kotlin, altered: Path) -> None:
    golden, manifests = _agreed(kotlin("VectorsKt", GOLDEN, altered))
    assert golden > 200 and manifests == 300 + RANGED
    assert "the poses agree" in kotlin("sample.PosesKt", GOLDEN)


def test_swift_agrees(swift: phones.Swift, altered: Path) -> None:
    golden, manifests = _agreed(swift(GOLDEN, altered))
    assert golden > 200 and manifests == 300 + RANGED


def test_the_streams_show_what_live_recordings_do() -> None:
    """At least thirty in each mode's sum, recorded and made, with every kind of event and of refusal."""
    streams = live_streams.read()
    assert len(streams) >= 60 and {one["mode"] for one in streams} == {"sliding window", "streaming"}
    events = [event for one in streams for event in one["expected"]["events"]]
    assert {event["kind"] for event in events} == {"began", "changed", "ended"}
    assert "unknown" in {event["label"] for event in events}
    reasons = {reason.partition(" (")[0] for one in streams for reason in one["expected"]["refused"]}
    assert len(reasons) >= 7 and max(event["person"] for event in events) >= 3


@pytest.mark.parametrize("stream", live_streams.read(), ids=lambda stream: str(stream["name"]))
def test_session_step_gives_the_events_of_the_streams(stream: live_streams.Stream) -> None:
    assert live_streams.mismatches(stream, live_streams.played(stream)) == []


@pytest.mark.parametrize("stream", live_streams.read(), ids=lambda stream: str(stream["name"]))
def test_a_devices_service_gives_the_events_of_the_streams(stream: live_streams.Stream) -> None:
    assert live_streams.mismatches(stream, service_streams.played(stream)) == []


def test_the_synthetic_streams_are_those_of_the_file() -> None:
    kept = {one["name"]: one for one in live_streams.read()}
    for one in live_streams.synthetic():
        assert {name: kept[one["name"]][name] for name in one} == one, "run: python -m tests.targets.live_streams"


def test_kotlin_gives_the_events_of_the_streams(kotlin: phones.Kotlin) -> None:
    seen = kotlin.play(live_streams.FILE)
    assert [found for one in live_streams.read() for found in live_streams.mismatches(one, seen[one["name"]])] == []


def test_swift_gives_the_events_of_the_streams(swift: phones.Swift) -> None:
    seen = swift.play(live_streams.FILE)
    assert [found for one in live_streams.read() for found in live_streams.mismatches(one, seen[one["name"]])] == []


@pytest.fixture(scope="session")
def by_chance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty streams of any mixture, with what Python makes of them."""
    path = tmp_path_factory.mktemp("streams") / "random.json"
    path.write_text(live_streams.text([random_streams.random_stream(seed) for seed in range(60)]), encoding="utf-8")
    assert sum(len(one["expected"]["events"]) for one in live_streams.read(path)) > 200
    return path


def test_kotlin_gives_the_events_of_streams_by_chance(kotlin: phones.Kotlin, by_chance: Path) -> None:
    seen = kotlin.play(by_chance)
    assert [found for one in live_streams.read(by_chance) for found in live_streams.mismatches(one, seen[one["name"]])] == []


def test_swift_gives_the_events_of_streams_by_chance(swift: phones.Swift, by_chance: Path) -> None:
    seen = swift.play(by_chance)
    assert [found for one in live_streams.read(by_chance) for found in live_streams.mismatches(one, seen[one["name"]])] == []


@pytest.mark.parametrize(("field", "value"), [
    ("kind", "changed"), ("label", "juggle"), ("person", 7), ("confidence", 0.2), ("start", 0.0), ("end", None), ("time", 99.0)])
def test_an_event_that_differs_is_a_mismatch(field: str, value: object) -> None:
    stream = next(one for one in live_streams.read() if one["name"] == "two actions, streaming")
    seen = live_streams.played(stream)
    seen["events"][1] = seen["events"][1] | {field: value}
    assert len(live_streams.mismatches(stream, seen)) == 1
    assert live_streams.mismatches(stream, {**seen, "events": stream["expected"]["events"], "inputs": seen["inputs"][:-1]})


def test_the_phones_take_the_executorch_that_writes_the_files() -> None:
    """One release: pyproject.toml names it, the build files follow."""
    project = (ROOT.parent / "pyproject.toml").read_text(encoding="utf-8")
    (release,) = re.findall(r'"executorch==([\d.]+)"', project)
    assert f"executorchVersion={release}\n" in (KOTLIN / "gradle.properties").read_text(encoding="utf-8")
    assert f'"swiftpm-{release}"' in (SWIFT / "Package.swift").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["edgeskel", "sample"])
def test_android_takes_the_namespaces(module: str) -> None:
    """Android's rule for package names: two parts or more, each begins with a letter; one for each module."""
    found = {name: re.findall(r'(?:namespace|applicationId) = "([^"]*)"', (KOTLIN / name / "build.gradle.kts").read_text("utf-8"))
             for name in ("edgeskel", "sample")}
    assert found[module]
    for package in found[module]:
        assert re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", package), package
    assert not set(found["edgeskel"]) & set(found["sample"])
