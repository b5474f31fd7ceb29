"""The steps of a flash in their order: probe, stage, build, prove, switch, watch. Each is safe to repeat.

Up to the switch nothing of what runs on the device is touched; from the switch on the device decides alone, whatever
becomes of this connection.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from edgeskel.errors import DeviceError, UsageError
from edgeskel.runtime.bundle import Bundle
from targets.device import compatibility, launch
from targets.device.release import DESCRIPTOR, SIGNATURE, TOOL, Release
from targets.flash import wheels
from targets.flash.device import probe_device
from targets.flash.packing import ReleaseSettings, pack, tool_bytes
from targets.flash.remote import Connection
from targets.flash.signing import Key

__all__ = ["STEPS", "DeviceFlasher", "FlashOptions", "to_folder"]

STEPS = ("probe", "stage", "build", "prove", "switch", "watch")
_SPARE = 1.1

# Writes its input under PREFIX/staging and runs nothing of it: the digest says whether it is what was sent.
_BOOTSTRAP = """
import hashlib, sys
os.umask(0o022)
folder, digest = os.path.join(sys.argv[1], "staging"), sys.argv[2]
why = untrusted(folder, os.getuid(), sticky=True)
if why:
    sys.exit(why)
try:
    if os.path.isdir(sys.argv[1]) and not os.path.exists(os.path.join(sys.argv[1], "install.json")):
        deny_others_writing(sys.argv[1])
    os.makedirs(folder, exist_ok=True)
except OSError as error:
    sys.exit("%s: %s" % (error.filename, error.strerror))
content = sys.stdin.buffer.read()
if hashlib.sha256(content).hexdigest() != digest:
    sys.exit("the program arrived damaged")
path = os.path.join(folder, digest + ".tool")
with open(path + ".part", "wb") as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
os.replace(path + ".part", path)
"""


@dataclass(frozen=True)
class FlashOptions:
    """How a device is flashed.

    Args:
        settings: of the release.
        scope: auto, system, user or none.
        prefix: where; None is the scope's own place.
        watch_s: how long the new release is watched.
        allow_older: take a bundle or program older than what ran there.
        any_clock: take a device whose clock is days off.
        files: what the source reads.
        wheel: of the engine; None fetches one where the device has none.
    """

    settings: ReleaseSettings = field(default_factory=ReleaseSettings)
    scope: str = "auto"
    prefix: str | None = None
    watch_s: float = 60.0
    allow_older: bool = False
    any_clock: bool = False
    files: tuple[Path, ...] = ()
    wheel: Path | None = None


class DeviceFlasher:
    """One flash of one device.

    Args:
        connection: open.
        bundle: opened, so every digest of it is checked.
        options: how.
        say: told (step, line) as it goes.
    """

    def __init__(
        self, connection: Connection, bundle: Bundle, options: FlashOptions, say: Callable[[str, str], None]
    ) -> None:
        self._connection, self._bundle, self._options, self._say = connection, bundle, options, say
        self.seconds: dict[str, float] = {}

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 2)

    def probe(self) -> dict[str, Any]:
        """Look at the device and refuse what cannot work; nothing there changes.

        Raises:
            DeviceError: with everything that stands in the way.
        """
        with self._step("probe"):
            self._connection.open()
            self.facts: dict[str, Any] = probe_device(self._connection, self._options.prefix)
            self._say("probe", compatibility.line(self.facts))
            self.scope: str = self._default_scope()
            self.prefix: str = compatibility.prefix_of(self.facts, self.scope, self._options.prefix)
            wheel_mb = 30.0 if self._lacks_engine() else 0.0
            size = sum((self._bundle.path / name).stat().st_size for name in self._bundle.manifest["files"]) / 1e6
            self._require(3 * wheel_mb + 2.2 * size + 32)
            self._connection.sudo = self.scope == "system" and self.facts["uid"] != 0
            self._say(
                "probe", f"{self._bundle.name} for {self._bundle.target} fits; {self.scope} scope, under {self.prefix}"
            )
        return {"facts": self.facts, "scope": self.scope, "prefix": self.prefix}

    def _default_scope(self) -> str:
        """What is installed there already decides, where nothing else was asked."""
        if self._options.scope == "auto":
            for name in ("system", "user"):
                place = self.facts["places"].get(self._options.prefix or self.facts["prefixes"][name], {})
                held = (place.get("install") or {}).get("scope")
                if held in ("system", "user", "none") and (name == "user" or self.facts["sudo"]):
                    return str(held)
        return compatibility.scope_of(self.facts, self._options.scope)

    def _require(self, needed_mb: float) -> None:
        compatibility.require(
            self.facts,
            compatibility.Requirements(
                self._bundle.target,
                self.scope,
                self.prefix,
                needed_mb=needed_mb,
                compiled=self._lacks_engine(),
                clock=None if self._options.any_clock else time.time(),
            ),
        )

    def _lacks_engine(self) -> bool:
        return self._options.wheel is not None or self._bundle.target == "host" and not self.facts["onnxruntime"]

    def stage(self, key: Key) -> str:
        """Make the release, signed by ``key``, offer it, upload what is missing, have it admitted; its name.

        Raises:
            DeviceError: refused (signature, age, room), or the connection broke.
        """
        with self._step("stage"), tempfile.TemporaryDirectory(prefix="edgeskel-") as folder:
            self._key = key
            release = self._pack(Path(folder) / "release")
            self._say(
                "stage",
                f"release {release.identity}, {len(release.files)} files, {release.size / 1e6:.1f} MB, signed by "
                f"{self._key.fingerprint}",
            )
            self._require(2 * _SPARE * release.size / 1e6 + 32)
            tool = self._tool_for_staging()
            self._call(tool, "begin", "--scope", self.scope)
            trusted = self._call(tool, "trust", "--add", self._key.public, "--first")["trusted"]
            self._say("stage", f"trusted there: {', '.join(trusted)}")
            content, signature = (Path(folder) / "release" / name for name in (DESCRIPTOR, SIGNATURE))
            offered = self._offer(tool, content.read_bytes(), signature.read_bytes())
            if not offered["whole"]:
                self._upload(tool, release, Path(folder) / "release", offered["missing"])
                self._call(tool, "admit", release.identity)
            self.identity: str = release.identity
            self._tool = f"{self.prefix}/releases/{release.identity}/{TOOL}"
            self._say("stage", "whole already" if offered["whole"] else "signature and every digest are right there")
        return release.identity

    def _pack(self, folder: Path) -> Release:
        python = ".".join(self.facts["python"].split(".")[:2])
        needed = []
        if self._lacks_engine():
            needed.append(self._options.wheel or wheels.fetch(wheels.ENGINE, python, self.facts["machine"]))
        if python == "3.10" and not self._options.settings.source.startswith(("golden:", "replay:")):
            needed.append(wheels.fetch(wheels.TOML, python, self.facts["machine"]))  # layouts and what is worn are TOML
        return pack(
            self._bundle,
            folder,
            self._key,
            self._options.settings,
            wheels=needed,
            machine=self.facts["machine"],
            python=python,
            files=self._options.files,
        )

    def _tool_for_staging(self) -> str:
        """The installed program judges what comes; where there is none, ours is sent ahead."""
        if self.facts["places"][self.prefix]["tool"]:
            return f"{self.prefix}/bin/edgeskel-device"
        content = tool_bytes()
        digest = hashlib.sha256(content).hexdigest()
        command = [self.facts["executable"], "-I", "-c", launch.source() + _BOOTSTRAP, self.prefix, digest]
        self._connection.run(command, stdin=content)
        return f"{self.prefix}/staging/{digest}.tool"

    def _offer(self, tool: str, content: bytes, signature: bytes) -> dict[str, Any]:
        head = json.dumps({"content": len(content), "signature": len(signature)}).encode() + b"\n"
        older = ["--allow-older"] if self._options.allow_older else []
        return self._call(tool, "offer", *older, feed=lambda stream: _write(stream, head + content + signature))

    def _upload(self, tool: str, release: Release, folder: Path, missing: list[dict[str, Any]]) -> None:
        paths = {digest: folder / name for name, (digest, _) in release.files.items()}
        left = sum(item["bytes"] - item["have"] for item in missing)
        again = sum(item["have"] for item in missing)
        self._say(
            "stage",
            f"{len(missing)} files, {left / 1e6:.1f} MB to send"
            + (f", {again / 1e6:.1f} MB are there already" if again else ""),
        )

        def feed(stream: BinaryIO) -> None:
            for item in missing:
                stream.write(json.dumps({"sha256": item["sha256"], "offset": item["have"]}).encode() + b"\n")
                with paths[item["sha256"]].open("rb") as file:
                    file.seek(item["have"])
                    while block := file.read(1 << 18):
                        stream.write(block)

        self._call(tool, "receive", release.identity, feed=feed)

    def build(self) -> dict[str, Any]:
        """Have the engine built, where it needs building. Raises ``DeviceError``."""
        with self._step("build"):
            built = self._call(self._tool, "build", self.identity, say=lambda line: self._say("build", line))
            self._say("build", built["says"])
        return built

    def prove(self) -> dict[str, Any]:
        """Golden inputs, then latency against the budget. Raises ``DeviceError``."""
        with self._step("prove"):
            proved = self._call(self._tool, "prove", self.identity, say=lambda line: self._say("prove", line))
            self._say(
                "prove",
                f"{proved['says']}; power mode {self.facts['power_mode'] or 'unknown'}, "
                f"{_degrees(self.facts['temperature_c'])}",
            )
        return proved

    def switch_and_watch(self) -> dict[str, Any]:
        """Begin the trial, which the device carries out alone, and wait for its outcome.

        Raises:
            DeviceError: the release did not hold; the previous one runs again, and the message says why.
        """
        with self._step("switch"):
            begun = self._call(
                self._tool,
                "switch",
                self.identity,
                "--watch",
                str(self._options.watch_s),
                "--reason",
                f"flashed by {self._key.public.split(' ')[-1]}",
            )
            self._say("switch", f"to {self.identity}; the device watches it for {self._options.watch_s:g} s")
        with self._step("watch"):
            outcome = self._call(
                self._tool,
                "follow",
                self.identity,
                "--since",
                begun["since"],
                say=lambda line: self._say("watch", line),
            )
            self._say("watch", outcome["reason"])
        if not outcome["kept"]:
            raise DeviceError(
                f"{self.identity} did not hold: {outcome['reason']}",
                expected="a release that recognises, without a restart",
                remedy=f"{outcome['current'] or 'nothing'} runs there as before; edgeskel flash logs HOST shows more",
            )
        return outcome

    def _call(
        self,
        tool: str,
        verb: str,
        *arguments: str,
        feed: Callable[[BinaryIO], None] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[str, Any]:
        return self._connection.call(
            launch.command(self.facts["executable"], tool, verb, *arguments, "--prefix", self.prefix), feed=feed, say=say
        )


def to_folder(
    bundle: Bundle, out: Path, key: Key, options: FlashOptions, *, machine: str | None, python: str | None
) -> Release:
    """The offline path: the release as a folder for a stick, with the public key beside it.

    Raises:
        UsageError: the bundle is not for Linux, or nobody said for which device the engine is.
        DeviceError: no wheel of the engine for it.
    """
    if bundle.target not in ("host", "jetson"):
        raise UsageError(
            f"the bundle is made for {bundle.target}",
            expected="one for host or jetson",
            remedy="phones take it from their app",
        )
    needed = [options.wheel] if options.wheel is not None else []
    if bundle.target == "host" and not needed and (machine or python):
        if not (machine and python):
            raise UsageError(
                "--machine without --python, or the other way round", expected="both: the engine is built for both"
            )
        needed.append(wheels.fetch(wheels.ENGINE, python, machine))
    release = pack(
        bundle,
        out,
        key,
        options.settings,
        wheels=needed,
        machine=machine or "",
        python=python or "",
        files=options.files,
    )
    (out / "KEY.pub").write_text(key.public + "\n", "utf-8")
    return release


def _write(stream: BinaryIO, content: bytes) -> None:
    stream.write(content)


def _degrees(value: float | None) -> str:
    return "temperature unknown" if value is None else f"{value:.0f} °C"
