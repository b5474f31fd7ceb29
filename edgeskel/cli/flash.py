"""``edgeskel flash``: a bundle onto a device that runs it, and back by itself if it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.report import Command, Report, console
from edgeskel.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from targets.flash.device import Device
    from targets.flash.signing import Key

__all__ = ["COMMANDS", "Host", "device"]


@dataclass(frozen=True)
class Flash:
    """Put a bundle on a device: probe, stage, build, prove, switch, watch; back by itself if it fails."""

    host: tyro.conf.Positional[str]
    """The device as ssh takes it: a name of your SSH configuration, user@host, ssh://user@host:port."""
    bundle: tyro.conf.Positional[Path | None] = None
    """The bundle's folder. With --to-dir it is the only argument."""
    dry_run: bool = False
    """Probe only: what the device is, and whether the bundle fits. Changes nothing there."""
    to_dir: Path | None = None
    """Write the signed release into this folder (a USB stick) instead; the device installs it with the same checks."""
    machine: str | None = None
    """With --to-dir: the device's processor (x86_64, aarch64), to take the engine along."""
    python: str | None = None
    """With --to-dir: the device's Python (3.10), to take the engine along."""
    source: str = "golden:"
    """Where its frames come from, as for edgeskel run; golden: is the bundle's own golden windows."""
    files: tuple[Path, ...] = ()
    """What the source reads (a recording, the TOML of what is worn): copied along, named by its file name in --source."""
    threshold: float | None = None
    """Probability under which an action is unknown. By default as the bundle's validation data said, or 0.5."""
    precision: Literal["fp32", "fp16", "int8"] | None = None
    """Only this one. By default int8 is used where it is faster there and within its tolerance."""
    threads: int | None = 1
    """Processor threads of the engine."""
    budget_ms: float | None = None
    """What a recognition may take there (p95). By default the bundle's budget."""
    watch: float = 60.0
    """Seconds that the new release is watched before it counts as good."""
    scope: Literal["auto", "system", "user", "none"] = "auto"
    """System units (root, or sudo without a password), units of the user, or no service manager. By default what is possible."""
    prefix: str | None = None
    """Where on the device. By default /opt/edgeskel, or ~/.local/share/edgeskel without root."""
    key: Path | None = None
    """The private key that signs. By default your release key; the first flash makes it."""
    wheel: Path | None = None
    """A wheel of the engine for the device. By default one is fetched where the device has none."""
    allow_older: bool = False
    """Take a bundle or a program that is older than what ran there."""
    any_clock: bool = False
    """Take a device whose clock is more than a day off."""
    ssh_config: Path | None = None
    """Another SSH configuration than your own."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.watch) and self.watch > 0):
            raise UsageError(f"--watch {self.watch:g}", expected="seconds above 0")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g}", expected="0 to 1")
        if self.budget_ms is not None and not (math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise UsageError(f"--budget-ms {self.budget_ms:g}", expected="milliseconds above 0")
        if self.prefix is not None and not self.prefix.startswith("/"):
            raise UsageError(f"--prefix {self.prefix}", expected="an absolute path on the device")


def flash(config: Flash) -> Report:
    """All steps, or those that the options leave."""
    from edgeskel.runtime.bundle import Bundle
    from targets.flash import flashing
    from targets.flash.packing import ReleaseSettings
    from targets.flash.remote import Connection

    if config.to_dir is not None and config.bundle is not None:
        raise UsageError("a host and --to-dir", expected="one of them", remedy="edgeskel flash BUNDLE --to-dir DIR")
    if config.to_dir is None and config.bundle is None:
        raise UsageError(
            f"no bundle to flash {config.host} with",
            expected="edgeskel flash HOST BUNDLE",
            remedy="make one with: edgeskel export MODEL --target host --out DIR",
        )
    bundle = Bundle.open(config.bundle or config.host)
    settings = ReleaseSettings(config.source, config.threshold, config.precision, config.threads, config.budget_ms)
    options = flashing.FlashOptions(
        settings,
        config.scope,
        config.prefix,
        config.watch,
        config.allow_older,
        config.any_clock,
        config.files,
        config.wheel,
    )
    if config.to_dir is not None:
        release = flashing.to_folder(
            bundle, config.to_dir, _key(config.key), options, machine=config.machine, python=config.python
        )
        stick = config.to_dir.name
        command = f"sudo python3 {stick}/edgeskel-device install {stick} --prefix /opt/edgeskel --trust {stick}/KEY.pub"
        return Report(
            {"release": release.identity, "folder": str(config.to_dir), "bytes": release.size, "install": command},
            lambda out: _lines(out, f"{release.identity} is in {config.to_dir}", f"on the device: {command}"),
        )
    with Connection(config.host, config.ssh_config) as connection:
        run = flashing.DeviceFlasher(connection, bundle, options, _say)
        data: dict[str, Any] = {"host": config.host, "bundle": str(bundle.path), **run.probe()}
        if config.dry_run:
            return Report(
                {**data, "fits": True},
                lambda out: _lines(out, f"{config.host} fits {bundle.path}; nothing was changed"),
            )
        data["release"] = run.stage(_key(config.key))
        data["built"] = run.build()
        data["proved"] = run.prove()
        data.update(run.switch_and_watch())
        data["seconds"] = run.seconds
    total = sum(run.seconds.values())
    return Report(
        data,
        lambda out: _lines(
            out,
            f"{config.host} runs {data['release']} ({data['reason']})",
            f"{total:.0f} s, {run.seconds['watch']:.0f} of them watching",
        ),
    )


def _say(step: str, line: str) -> None:
    console.print(f"{step:<6} ", end="", style="bold")
    console.print(line, soft_wrap=True)


def _lines(out: Console, *lines: str) -> None:
    for line in lines:
        out.print(line, soft_wrap=True)


def _key(path: Path | None) -> Key:
    """The key that signs; the default one is made at its first use, and said so."""
    from targets.flash import signing

    place = path or signing.default_path()
    if path is None and not place.exists():
        key = signing.create(place)
        console.print(
            f"made a key that signs your releases: {place} ({key.fingerprint}); keep a copy of it",
        )
        return key
    return signing.load(place)


@dataclass(frozen=True)
class Host:
    """A device that was flashed."""

    host: tyro.conf.Positional[str]
    """The device as ssh takes it."""
    prefix: str | None = None
    """Where on the device. By default wherever it was flashed."""
    ssh_config: Path | None = None
    """Another SSH configuration than your own."""


@dataclass(frozen=True)
class FlashStatus(Host):
    """Which release runs, which one ran before, why, and how the service is."""


@dataclass(frozen=True)
class FlashRollback(Host):
    """Switch to the release that ran before, with the same watch."""

    watch: float = 60.0
    """Seconds that it is watched before it counts as good."""


@dataclass(frozen=True)
class FlashVerify(Host):
    """Check what runs there again: signature, every digest, golden inputs."""


@dataclass(frozen=True)
class FlashLogs(Host):
    """What happened there, and what the service wrote."""

    lines: int = 50
    """So many of each."""


@dataclass(frozen=True)
class FlashUninstall(Host):
    """Stop the service and remove everything that was installed."""


@contextmanager
def device(config: Any) -> Iterator[Device]:
    """The device of a verb's ``host``, ``prefix`` and ``ssh_config``, for as long as the block lasts."""
    from targets.flash.device import Device
    from targets.flash.remote import Connection

    with Connection(config.host, config.ssh_config) as connection:
        connection.open()
        yield Device(connection, config.prefix)


def status(config: FlashStatus) -> Report:
    """Ask the device."""
    with device(config) as asked:
        data = asked.call("status")
    return Report({"host": config.host, **data}, lambda out: _draw_status(out, config.host, data))


def _draw_status(out: Console, host: str, data: dict[str, Any]) -> None:
    lines = [f"{host}: {data['running'] or 'nothing'} runs ({data['phase']})", data["why"]]
    if data["previous"]:
        lines.append(f"before it: {data['previous']}")
    if data["artifact"]:
        lines.append("{artifact} on {engine}".format(**data["artifact"]))
    health = data["health"]
    if health:
        lines.append(
            f"{health['frames']} frames in from {health['source']} ({health['source_says']}), "
            f"{health['recognitions']} recognitions and "
            f"{health['actions']} actions out in {health['uptime_s']:.0f} s, {health['rss_mb']:.0f} MB"
        )
        lines += [f"not taken: {count} ({reason})" for reason, count in health.get("refused", {}).items()]
    lines += [f"trusted keys: {complaint}" for complaint in data.get("trust_damaged", [])]
    lines += [f"{name} is damaged: {why}" for name, why in data["whole"].items() if why is not True]
    _lines(out, *lines)


def rollback(config: FlashRollback) -> Report:
    """Begin it, wait for the outcome."""
    with device(config) as asked:
        begun = asked.call("rollback", "--watch", str(config.watch), "--reason", "rolled back by hand")
        _say("switch", f"to {begun['release']}")
        outcome = asked.call(
            "follow", begun["release"], "--since", begun["since"], say=lambda line: _say("watch", line)
        )
    data = {"host": config.host, "release": begun["release"], **outcome}
    text = f"{config.host} runs {outcome['current']}: {outcome['reason']}"
    return Report(data, lambda out: _lines(out, text), ok=bool(outcome["kept"]))


def verify(config: FlashVerify) -> Report:
    """Ask the device to look at itself."""
    with device(config) as asked:
        data = asked.call("verify")
    return Report(
        {"host": config.host, **data},
        lambda out: _lines(out, f"{data['release']}: {data['files']} files as signed by {data['key']}", data["says"]),
    )


def logs(config: FlashLogs) -> Report:
    """The journal of transitions, then the service's own lines."""
    with device(config) as asked:
        data = asked.call("logs", "--lines", str(config.lines))
    return Report({"host": config.host, **data}, lambda out: _lines(out, *data["journal"], *data["service"]))


def uninstall(config: FlashUninstall) -> Report:
    """Leave the device as it was."""
    with device(config) as asked:
        data = asked.call("uninstall")
    return Report(
        {"host": config.host, **data}, lambda out: _lines(out, f"removed {data['removed']} from {config.host}")
    )


_VERBS: dict[str, tuple[type, Callable[[Any], Report]]] = {
    "": (Flash, flash),
    "status": (FlashStatus, status),
    "rollback": (FlashRollback, rollback),
    "verify": (FlashVerify, verify),
    "logs": (FlashLogs, logs),
    "uninstall": (FlashUninstall, uninstall),
}
COMMANDS = {name: Command(*entry) for name, entry in _VERBS.items()}
