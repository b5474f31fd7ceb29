"""What is missing is named by what is enough: seen from outside, with packages blocked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeskel.extras import missing_extra

ROOT = Path(__file__).resolve().parent.parent

BLOCKED = """
import sys
class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent)
from edgeskel.cli.main import main
sys.exit(main({words!r}))
"""


def without(blocked: list[str], *words: str) -> tuple[int, dict[str, str]]:
    """Status and error of a command where packages are missing."""
    code = BLOCKED.format(blocked=blocked, words=[*words, "--json"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, json.loads(done.stdout)["error"]


@pytest.mark.parametrize("words", [
    ("run", "wearable:body.toml"), ("run", "camera:udp", "--model", "edge-utd-mhad"), ("learn", "bow", "--from", "camera:udp"),
])
def test_without_torch_a_bundle_is_offered(words: tuple[str, ...], tmp_path: Path) -> None:
    learned = ("--learned", str(tmp_path / "learned.sqlite")) if words[0] != "run" else ()
    status, error = without(["torch"], *words, *learned)
    assert status == 2
    assert "'torch'" in error["seen"] and "--bundle DIR" in error["remedy"]
    assert error["remedy"].index("--bundle") < error["remedy"].index("edgeskel[train]")


@pytest.mark.parametrize(("module", "enough", "extra"), [
    ("scipy.io", "scipy>=", "train"), ("onnxruntime", "onnxruntime>=", "export-jetson"), ("jinja2", "jinja2>=", "train"),
])
def test_one_package_is_enough_where_its_extra_brings_torch(module: str, enough: str, extra: str) -> None:
    error = missing_extra(ModuleNotFoundError(name=module), "this")
    assert error is not None and error.remedy.startswith(f"run: pip install '{enough}")
    assert f"edgeskel[{extra}]" in error.remedy


@pytest.mark.parametrize("module", ["tyro", "rich.console", "numpy"])
def test_what_every_install_has_is_installed_by_itself(module: str) -> None:
    error = missing_extra(ModuleNotFoundError(name=module), "this")
    assert error is not None and error.extra == ""
    assert re.fullmatch(rf"run: pip install '{module.partition('.')[0]}[<>][^']+'", error.remedy)


def test_the_jetsons_recipe_installs_all_that_every_install_has() -> None:
    """JetPack brings numpy, which a resolver must not replace; the rest is named, what only Python 3.10 needs included."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in wanted} - {"numpy"}
    (recipe,) = re.findall(r"^env/bin/pip install --no-deps edgeskel && env/bin/pip install ([^#\n]*)",
                           (ROOT / "docs" / "deployment.md").read_text(), re.MULTILINE)
    assert set(recipe.split()) == names


def test_a_bundles_builder_says_that_there_is_no_tensorrt(tmp_path: Path) -> None:
    code = f"import sys; sys.modules['tensorrt'] = None; sys.argv[1:] = []; exec(open({str(ROOT / 'export/tensorrt.py')!r}).read())"
    done = subprocess.run([sys.executable, "-c", code.replace("exec(", f"__file__ = {str(tmp_path / 'build_engine.py')!r}; exec(")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nvidia-jetpack" in done.stderr and "Traceback" not in done.stderr
