"""The platform-free part of the phone packages: compiled here where a compiler is, and held against ``edgeskel.runtime``."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.targets import manifest_vectors, vectors

ROOT = vectors.ROOT
KOTLIN = ROOT / "android"
SWIFT = ROOT / "ios"
RANGED = 288  # manifests with a number in or out of its range


def _tool(name: str, remedy: str, *, in_ci: bool) -> str:
    found = shutil.which(name)
    if found is None:
        if in_ci and os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing: {remedy}", pytrace=False)
        pytest.skip(f"no {name} here: {remedy}")
    return found


def _run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", vectors.FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_written_vectors_are_what_the_runtime_computes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == vectors.FILES[path](), "run: python -m tests.targets.vectors"


def test_every_joint_of_the_shipped_models_but_none_too_many_comes_from_mediapipe() -> None:
    table = vectors.recipes()
    assert table["left_wrist"] == [15] and table["pelvis"] == [23, 24]
    assert all(0 <= landmark < 33 for recipe in table.values() for landmark in recipe)


@pytest.fixture(scope="session")
def altered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of 300 manifests with one or two characters changed and of others with numbers at the ends of their ranges; and what
    Python makes of each."""
    choose = random.Random(0)
    whole = json.dumps(manifest_vectors.manifest(), indent=1)
    cases = []
    for _ in range(300):
        text = list(whole)
        for _ in range(choose.choice((1, 1, 2))):
            place = choose.randrange(len(text))
            text[place] = choose.choice(("", " ", "0", "9", "x", '"', "\\", "{", "]", ",", "\n", "\t", "é", text[place] * 2))
        cases.append(manifest_vectors.verdict("altered", "".join(text)))
    assert 5 < sum(case["taken"] for case in cases) < 100  # spaces between the fields may change, nothing else
    numbers = list(manifest_vectors.ranged())
    assert len(numbers) == RANGED and 80 < sum(case["taken"] for case in numbers) < len(numbers) - 150
    cases += numbers
    path = tmp_path_factory.mktemp("vectors") / "altered.json"
    none: dict[str, list[object]] = {name: [] for name in json.loads(vectors.golden())}
    path.write_text(json.dumps(none | {"manifest": cases}), encoding="utf-8")
    return path


def test_kotlin_agrees(tmp_path: Path, altered: Path) -> None:
    kotlinc = _tool("kotlinc", "apt-get install kotlin", in_ci=True)
    java = _tool("java", "apt-get install default-jre-headless", in_ci=True)
    sources = [*(KOTLIN / "edgeskel/src/main/kotlin/edgeskel").glob("*.kt"), *KOTLIN.glob("*/src/test/kotlin/**/*.kt"),
               *(KOTLIN / "sample/src/main/kotlin/edgeskel/sample").glob("*.kt")]
    left_out = {"VectorsTest.kt", "MainActivity.kt"}  # JUnit and Android: see targets/android/README.md
    jar = tmp_path / "vectors.jar"
    _run(kotlinc, *sorted(path for path in sources if path.name not in left_out), "-include-runtime", "-d", jar)
    golden = KOTLIN / "edgeskel/src/test/resources/golden.json"
    said = _run(java, "-cp", jar, "edgeskel.VectorsKt", golden, altered)
    assert "golden.json: 665 comparisons agree" in said and f"altered.json: {300 + RANGED} comparisons agree" in said
    assert "the poses agree" in _run(java, "-cp", jar, "edgeskel.sample.PosesKt", golden)


def test_swift_agrees(tmp_path: Path, altered: Path) -> None:
    swiftc = _tool("swiftc", "install Swift (Debian 13 and later: apt-get install swiftlang)", in_ci=False)
    digest = SWIFT / "Sources/Edgeskel/Digest.swift"  # CryptoKit: Apple's systems only; the runner brings its own
    sources = [*(path for path in (SWIFT / "Sources/Edgeskel").glob("*.swift") if path != digest),
               SWIFT / "Tests/EdgeskelTests/Vectors.swift", *(SWIFT / "Tests/Runner").glob("*.swift"),
               *(SWIFT / "Sample/Pose").glob("*.swift")]
    program = tmp_path / "vectors"
    _run(swiftc, *sorted(sources), "-o", program)
    said = _run(program, SWIFT / "Tests/EdgeskelTests/golden.json", altered)
    assert "golden.json: 668 comparisons agree" in said and f"altered.json: {300 + RANGED} comparisons agree" in said


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
