"""Makes the prefix, and installs a whole release from a folder (a USB stick) with the checks that a connection has."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.files import open_regular, read_regular
from targets.device import compatibility, probe, staging, steps, switching, trust
from targets.device.layout import Install, Layout
from targets.device.owner_checks import require_interpreter, require_owned
from targets.device.release import DESCRIPTOR, DESCRIPTOR_LIMIT, SIGNATURE, SIGNATURE_LIMIT, Release
from targets.device.users import service_user

__all__ = ["begin", "install_folder"]

_USER = "edgeskel"
_KEY_LIMIT = 64 << 10  # bytes of a public key's file


def begin(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    """Make the prefix with its folders; in the system scope, the service's user. Safe to repeat.

    Raises:
        DeviceError: somebody else could change the prefix, or the interpreter that root's units would start.
    """
    scope = options.scope
    if scope == "system":
        require_interpreter(sys.executable)
    user = _USER if scope == "system" else ""
    run = {"system": "/run/edgeskel", "user": f"/run/user/{os.getuid()}/edgeskel"}.get(
        scope, str(layout.prefix / "run")
    )
    layout.prefix.mkdir(parents=True, exist_ok=True)
    with layout.lock("flash", wait_s=5):
        if user:
            service_user(user)
        layout.write_install(Install(scope, user, run, sys.executable))
        if user:
            layout.prefix.chmod(0o755)  # whatever it was made with: the service's user reads in it
            shutil.chown(layout.engines, user, user)  # after an upgrade of TensorRT the service builds anew
        require_owned(layout, scope)  # an access list of a folder above may have come along
    return {"prefix": str(layout.prefix), "scope": scope}


def install_folder(layout: Layout, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Probe, take in, build, prove, switch and watch the release that ``edgeskel flash --to-dir`` wrote.

    Raises:
        DeviceError: any step refuses it; what ran before still runs, and the message says why.
    """
    folder = Path(options.folder)
    content, signature = read_regular(folder / DESCRIPTOR, DESCRIPTOR_LIMIT), read_regular(folder / SIGNATURE, SIGNATURE_LIMIT)
    release = Release.parse(content)
    facts = probe.facts(str(layout.prefix))
    say("probe: " + compatibility.line(facts))
    created = release.facts["created"]
    earliest = datetime.fromisoformat(created).timestamp() if created else 0.0
    compatibility.require(
        facts,
        compatibility.Requirements(
            release.facts["target"],
            options.scope,
            str(layout.prefix),
            release.facts["machine"],
            release.facts["python"],
            2.2 * release.size / 1e6,
            bool(release.facts["machine"]),
            None if options.any_clock else max(time.time(), earliest),
        ),
    )
    if not trust.fingerprints(layout.signers):
        if not options.trust:
            raise DeviceError(
                "this device trusts no key yet",
                expected="the public key of whoever makes its releases",
                remedy="give it once, from a hand that you trust: --trust KEY.pub",
            )
        public = read_regular(options.trust, _KEY_LIMIT, follow=True).decode("utf-8", "replace").strip()
        # Nothing here changes for a key that did not sign.
        with tempfile.TemporaryDirectory(prefix="edgeskel-") as place:
            trust.add(Path(place) / "signers", public)
            trust.check(Path(place) / "signers", content, signature)
        begin(layout, options)
        trust.add(layout.signers, public)
    begin(layout, options)
    with layout.lock("flash", wait_s=5):
        offered = staging.offer(layout, content, signature, allow_older=options.allow_older)
        identity = offered["release"]
        say(f"stage: {identity}, signed by {offered['key']}, {len(offered['missing'])} files to copy")
        if not offered["whole"]:
            _copy(layout, folder, release, {item["sha256"] for item in offered["missing"]})
        staging.admit(layout, identity)
        built = steps.build(layout, identity, say)
        say(f"build: {built['says']}")
        proved = steps.prove(layout, identity, say)
        say(f"prove: {proved['says']}")
    say(f"switch: to {identity}, then {options.watch:g} s of watch")
    last = switching.begin_switch(layout, identity, options.watch, f"installed from {folder}")
    outcome = switching.follow(layout, identity, last, say)
    if not outcome["kept"]:
        raise DeviceError(
            f"{identity} did not hold: {outcome['reason']}",
            expected="a release that recognises",
            remedy=f"{outcome['current'] or 'nothing'} runs, as before",
        )
    return {"release": identity, "key": offered["key"], "proved": proved, **outcome}


def _copy(layout: Layout, folder: Path, release: Release, wanted: set[str]) -> None:
    """From the stick into the staging folder; ``admit`` digests what is there."""
    place = layout.staging / release.identity
    for name, (digest, size) in release.files.items():
        if digest in wanted:
            part = place / f"{digest}.part"
            try:
                with open_regular(folder / name) as reader, part.open("wb") as writer:
                    left = size  # a stick's file may be larger than it was signed, without an end even
                    while left and (block := reader.read(min(left, 1 << 20))):
                        writer.write(block)
                        left -= len(block)
            except FileNotFoundError as error:
                raise DeviceError(
                    f"{folder / name} is missing", expected="every file of the release", remedy="copy the folder again"
                ) from error
            part.replace(place / digest)
