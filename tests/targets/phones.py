"""The platform-free part of the phone packages, compiled and run: Kotlin by Debian's compiler on a JVM, Swift by ``swiftc``.

Where no ``swiftc`` is (Debian 12 has none), Debian 13's is used inside a system of its own: made once by debootstrap, about five
minutes and 2.5 GB, and kept in ``EDGESKEL_SWIFT`` (``/var/tmp/edgeskel-swift`` where that is not set). That needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2] / "targets"
KOTLIN, SWIFT = ROOT / "android", ROOT / "ios"
ORG_JSON = Path("/usr/share/java/json-android.jar")
"""Android's own org.json for a JVM."""
_SUITE, _PACKAGES = "trixie", "swiftlang,libc6-dev,libstdc++-14-dev"
_LIMIT_S = 3600.0


class Absent(Exception):
    """A compiler is not here; the message says how to get it."""


def _run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Absent(f"{name} is missing: apt-get install {package}")
    return found


class Kotlin:
    """The Android package and its tests, in one jar.

    Args:
        folder: an empty one, or one in which it was compiled before.

    Raises:
        Absent: no compiler, no JVM or no org.json.
    """

    name = "Kotlin"

    def __init__(self, folder: Path) -> None:
        compiler = _tool("kotlinc", "kotlin")
        self._java = _tool("java", "default-jre-headless")
        if not ORG_JSON.is_file():
            raise Absent(f"{ORG_JSON} is missing: apt-get install libandroid-json-org-java")
        sources = [*(KOTLIN / "edgeskel/src/main/kotlin/edgeskel").glob("*.kt"), *KOTLIN.glob("*/src/test/kotlin/**/*.kt"),
                   *(KOTLIN / "sample/src/main/kotlin/edgeskel/sample").glob("*.kt")]
        left_out = {"VectorsTest.kt", "MainActivity.kt"}  # JUnit and Android: see targets/android/README.md
        self._jar = folder / "edgeskel.jar"
        if self._jar.exists():
            return
        taken = sorted(path for path in sources if path.name not in left_out)
        _run(compiler, "-cp", ORG_JSON, *taken, "-include-runtime", "-d", self._jar)

    def __call__(self, main: str, *arguments: Path) -> str:
        """What a main class prints."""
        return _run(self._java, "-cp", f"{self._jar}:{ORG_JSON}", f"edgeskel.{main}", *arguments)

    def play(self, streams: Path) -> dict[str, Any]:
        """Name -> what the package makes of a live stream of the file."""
        return _by_name(self("StreamsMain", streams))


class Swift:
    """The iOS package and its tests, as one program.

    Args:
        folder: an empty one, or one in which it was compiled before.

    Raises:
        Absent: no compiler, and none can be had here.
    """

    name = "Swift"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._system = None if shutil.which("swiftc") else _system()
        if (folder / "edgeskel").exists():
            return
        own_digest = SWIFT / "Sources/Edgeskel/Digest.swift"  # CryptoKit: Apple's systems only; the runner brings its own
        for path in (*(path for path in (SWIFT / "Sources/Edgeskel").glob("*.swift") if path != own_digest),
                     SWIFT / "Tests/EdgeskelTests/Vectors.swift", *(SWIFT / "Tests/Runner").glob("*.swift"),
                     *(SWIFT / "Sample/Pose").glob("*.swift")):
            shutil.copyfile(path, folder / path.name)
        self._inside("swiftc", *sorted(path.name for path in folder.glob("*.swift")), "-o", "edgeskel")

    def __call__(self, *arguments: str | Path) -> str:
        """What the program prints; files are taken along."""
        names = []
        with tempfile.TemporaryDirectory(dir=self._folder) as taken:  # the program may be asked from several processes
            for index, argument in enumerate(arguments):
                if isinstance(argument, Path):
                    name = f"{Path(taken).name}/{index}-{argument.name}"
                    shutil.copyfile(argument, self._folder / name)
                    names.append(name)
                else:
                    names.append(argument)
            return self._inside("./edgeskel", *names)

    def play(self, streams: Path) -> dict[str, Any]:
        """Name -> what the package makes of a live stream of the file."""
        return _by_name(self("play", streams))

    def _inside(self, *command: str) -> str:
        if self._system is None:
            return _run("sh", "-c", 'cd "$0" && exec "$@"', self._folder, *command)
        mounts = 'mount --bind /proc "$0/proc" && mount --bind "$1" "$0/mnt" && system=$0 && shift && '
        return _run("unshare", "--mount", "sh", "-c", mounts + 'exec chroot "$system" sh -c \'cd /mnt && exec "$@"\' sh "$@"',
                    self._system, self._folder, *command)


def _system() -> Path:
    if os.geteuid():
        raise Absent("swiftc is missing: install Swift (Debian 13 and later: apt-get install swiftlang), or run this as root")
    debootstrap = _tool("debootstrap", "debootstrap")
    home = Path(os.environ.get("EDGESKEL_SWIFT") or "/var/tmp/edgeskel-swift")
    home.mkdir(parents=True, exist_ok=True)
    root = home / f"{_SUITE}-1"
    with FileLock(home / "made.lock"):
        if not root.is_dir():
            part = home / "part"
            shutil.rmtree(part, ignore_errors=True)
            _run(debootstrap, "--variant=minbase", f"--include={_PACKAGES}", _SUITE, part)
            for archive in (part / "var/cache/apt/archives").glob("*.deb"):
                archive.unlink()
            part.rename(root)
    return root


def _by_name(lines: str) -> dict[str, Any]:
    return {told["name"]: told for told in map(json.loads, lines.splitlines())}


IMPLEMENTATIONS: Sequence[type[Kotlin] | type[Swift]] = (Kotlin, Swift)
