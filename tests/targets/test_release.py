"""Releases: made, judged, taken in, damaged. No device: a prefix in a folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import BundleError, DeviceError, UsageError
from edgeskel.runtime.bundle import Bundle
from targets.device import staging, trust
from targets.device.layout import Layout
from targets.device.release import DESCRIPTOR, SIGNATURE, TOOL, Release, damage, require_whole, version
from targets.device.state import State
from targets.flash import packing, signing
from tests.targets.waiting import LIMIT_S


def offer(layout: Layout, made: Path, **options: Any) -> dict[str, Any]:
    return staging.offer(layout, (made / DESCRIPTOR).read_bytes(), (made / SIGNATURE).read_bytes(), **options)


def upload(made: Path, missing: list[dict[str, Any]]) -> bytes:
    paths = {digest: made / name for name, (digest, _) in Release.read(made).files.items()}
    stream = io.BytesIO()
    for item in missing:
        stream.write(json.dumps({"sha256": item["sha256"], "offset": item["have"]}).encode() + b"\n")
        stream.write(paths[item["sha256"]].read_bytes()[item["have"] :])
    return stream.getvalue()


def test_the_same_content_is_the_same_release(host_bundle: Path, made: Path, key: signing.Key, tmp_path: Path) -> None:
    again = packing.pack(Bundle.open(host_bundle), tmp_path / "again", key, packing.ReleaseSettings())
    other = packing.pack(Bundle.open(host_bundle), tmp_path / "other", key, packing.ReleaseSettings(threshold=0.7))
    assert again.content == (made / DESCRIPTOR).read_bytes() and other.identity != again.identity
    assert (tmp_path / "again" / SIGNATURE).read_bytes() == (made / SIGNATURE).read_bytes()


def test_a_release_is_small_and_brings_no_torch(made: Path) -> None:
    release = Release.read(made)
    beside = sum(size for name, (_, size) in release.files.items() if not name.startswith("packages/"))
    assert beside < 60e6
    code = "import sys; sys.path.insert(0, sys.argv[1]); import targets.service.serve, targets.service.prove; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code, str(made / "program")], capture_output=True, text=True, check=True
    ).stdout
    assert not {"torch", "onnx", "tyro", "rich", "cryptography", "scipy"} & {
        name.partition(".")[0] for name in loaded.split()
    }
    tool = "import sys; sys.path.insert(0, sys.argv[1]); import targets.device.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", tool, str(made / TOOL)], capture_output=True, text=True, check=True
    ).stdout
    assert {name.partition(".")[0] for name in loaded.split()} <= {
        *sys.stdlib_module_names,
        "__main__",
        "targets",
        "edgeskel",
    }


def test_python_3_10_reads_what_goes_to_a_device(made: Path) -> None:
    import ast
    import zipfile

    texts = {path: path.read_text("utf-8") for path in (made / "program").rglob("*.py")}
    with zipfile.ZipFile(made / TOOL) as archive:
        texts.update({Path(name): archive.read(name).decode() for name in archive.namelist()})
    assert len(texts) > 50
    for path, text in texts.items():
        ast.parse(text, str(path), feature_version=(3, 10))


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: st.dictionaries(
            st.sampled_from(
                ["schema", "name", "files", "settings", "created", "program", "sha256", "bytes", "../x", "/x"]
            ),
            inner,
            max_size=8,
        ),
        max_leaves=12,
    ).map(lambda content: json.dumps(content).encode())
)
def test_nonsense_is_no_release(content: bytes) -> None:
    with pytest.raises(BundleError):
        Release.parse(content)


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "/etc/passwd", "bundle/../../x", "a\\b", "", "a/./b", "release.json"]
)
def test_no_file_leaves_the_release(made: Path, name: str) -> None:
    facts = json.loads((made / DESCRIPTOR).read_bytes())
    facts["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    with pytest.raises(BundleError, match="malformed"):
        Release.parse(json.dumps(facts).encode())


def test_any_flipped_byte_is_seen(made: Path, tmp_path: Path) -> None:
    release = Release.read(made)
    copy = Path(shutil.copytree(made, tmp_path / release.identity))
    assert damage(copy, release.identity) is None
    for name in (*list(release.files)[:: max(1, len(release.files) // 12)], DESCRIPTOR, TOOL):
        content = (copy / name).read_bytes()
        if not content:
            continue
        (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert damage(copy, release.identity) is not None, name
        (copy / name).write_bytes(content)
    (copy / TOOL).unlink()
    assert "No such file" in str(damage(copy, release.identity))


def test_taken_in_from_where_it_broke_off(made: Path, layout: Layout) -> None:
    offered = offer(layout, made)
    assert not offered["whole"] and len(offered["missing"]) > 20
    stream = upload(made, offered["missing"])
    with pytest.raises(DeviceError, match="broke off"):
        staging.receive(layout, offered["release"], io.BytesIO(stream[: int(0.7 * len(stream))]))
    with pytest.raises(DeviceError, match="has not arrived"):
        staging.admit(layout, offered["release"])
    rest = offer(layout, made)["missing"]
    assert any(item["have"] for item in rest) and len(rest) < len(offered["missing"])
    assert staging.receive(layout, offered["release"], io.BytesIO(upload(made, rest)))["received"] == len(rest)
    folder = staging.admit(layout, offered["release"])
    assert damage(folder, folder.name) is None and not list(layout.staging.iterdir())
    assert offer(layout, made)["whole"]


def test_only_what_was_offered_is_taken(made: Path, layout: Layout) -> None:
    offered = offer(layout, made)
    line = json.dumps({"sha256": "0" * 64, "offset": 0}).encode() + b"\n"
    for stream in (line, b"\xff\xfe\n", b"[]\n", b"{}\n"):
        with pytest.raises(DeviceError, match="not offered"):
            staging.receive(layout, offered["release"], io.BytesIO(stream))
    with pytest.raises(DeviceError, match="not being taken in"):
        staging.receive(layout, "never-0123456789ab", io.BytesIO(line))
    item = max(offered["missing"], key=lambda entry: entry["bytes"])
    flipped = bytearray(upload(made, [item]))
    flipped[-1] ^= 1
    with pytest.raises(DeviceError, match="digest that was signed"):
        staging.receive(layout, offered["release"], io.BytesIO(bytes(flipped)))
    with pytest.raises(DeviceError, match="from 0 on"):
        staging.receive(layout, offered["release"], io.BytesIO(upload(made, [{**item, "have": 5}])))


def test_a_file_that_turned_in_staging_is_sent_again(made: Path, layout: Layout) -> None:
    offered = offer(layout, made)
    staging.receive(layout, offered["release"], io.BytesIO(upload(made, offered["missing"])))
    victim = max((layout.staging / offered["release"]).iterdir(), key=lambda path: path.stat().st_size)
    victim.write_bytes(b"x" + victim.read_bytes()[1:])
    with pytest.raises(DeviceError, match="not what was signed"):
        staging.admit(layout, offered["release"])
    assert not layout.release(offered["release"]).exists()
    again = offer(layout, made)["missing"]
    assert [item["sha256"] for item in again] == [victim.name]


def test_the_key_must_be_trusted_at_the_end_too(made: Path, layout: Layout, tmp_path: Path, key: signing.Key) -> None:
    offered = offer(layout, made)
    staging.receive(layout, offered["release"], io.BytesIO(upload(made, offered["missing"])))
    trust.add(layout.signers, signing.create(tmp_path / "another").public)
    trust.remove(layout.signers, key.fingerprint)
    with pytest.raises(DeviceError, match="signature is refused"):
        staging.admit(layout, offered["release"])


def test_of_two_flashes_at_once_the_last_that_begins_goes_on(
    made: Path, layout: Layout, host_bundle: Path, key: signing.Key, tmp_path: Path
) -> None:
    other = packing.pack(Bundle.open(host_bundle), tmp_path / "other", key, packing.ReleaseSettings(threshold=0.7)).identity
    first = offer(layout, made)
    assert offer(layout, tmp_path / "other")["release"] == other
    for step in (
        lambda: staging.receive(layout, first["release"], io.BytesIO(upload(made, first["missing"]))),
        lambda: staging.admit(layout, first["release"]),
    ):
        with pytest.raises(DeviceError, match="is not being taken in any more") as caught:
            step()
        assert "wait until the other one is done" in caught.value.remedy
    with pytest.raises(DeviceError, match=f"{first['release']} is not here"):
        require_whole(layout.release(first["release"]), first["release"])


def test_older_than_what_ran(made: Path, layout: Layout) -> None:
    release = Release.read(made)
    layout.write_state(State(newest={"created": "2031-01-01T00:00:00+00:00", "program": "0.0.1"}).to_json())
    with pytest.raises(DeviceError, match="is older than what ran here"):
        offer(layout, made)
    layout.write_state(State(newest={"created": release.facts["created"], "program": "99.0"}).to_json())
    with pytest.raises(DeviceError, match="is older than what ran here"):
        offer(layout, made)
    assert offer(layout, made, allow_older=True)["missing"]


def test_no_room_is_named_before_anything_comes(made: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Full())
    with pytest.raises(DeviceError, match="0 MB are free"):
        offer(layout, made)
    assert not any(layout.releases.iterdir())


def test_killed_while_it_is_admitted(made: Path, layout: Layout) -> None:
    """At many moments: afterwards there is a whole release, or none, and admitting it again succeeds."""
    offered = offer(layout, made)
    staging.receive(layout, offered["release"], io.BytesIO(upload(made, offered["missing"])))
    command = [
        sys.executable,
        "-I",
        "-B",
        str(made / TOOL),
        "admit",
        offered["release"],
        "--prefix",
        str(layout.prefix),
    ]
    target = layout.release(offered["release"])
    for delay in (0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not target.exists() or damage(target, target.name) is None
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert damage(target, target.name) is None
    staging.prune(layout, State())
    assert not any(layout.releases.iterdir())


def test_files_of_the_source(host_bundle: Path, key: signing.Key, tmp_path: Path) -> None:
    walk = tmp_path / "walk.npz"
    walk.write_bytes(b"x")
    release = packing.pack(
        Bundle.open(host_bundle), tmp_path / "out", key, packing.ReleaseSettings("replay:walk.npz"), files=[walk]
    )
    assert "files/walk.npz" in release.files and not release.needs_network
    with pytest.raises(UsageError, match="two files"):
        packing.pack(Bundle.open(host_bundle), tmp_path / "twice", key, packing.ReleaseSettings(), files=[walk, walk])
    with pytest.raises(UsageError, match="no such file"):
        packing.pack(Bundle.open(host_bundle), tmp_path / "none", key, packing.ReleaseSettings(), files=[tmp_path / "absent"])
    assert not (tmp_path / "twice").exists() and not (tmp_path / "none").exists()


@pytest.mark.parametrize("created", ["yesterday", "2026-01-01", "2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00"])
def test_a_date_has_one_form(made: Path, created: str) -> None:
    facts = json.loads((made / DESCRIPTOR).read_bytes())
    facts["created"] = created
    with pytest.raises(BundleError, match="created"):
        Release.parse(json.dumps(facts).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("program", text) for text in ("²", "1.²", "1.0²", "٣.١", "1..2", "-1", "", "1.0 beta", "9" * 5000, "1.0\n")),
        ("program", "1.0\x1b[2J"),
        *(("created", f"{day}T00:00:00+00:00") for day in ("2026-19-39", "٢٠٢٦-01-01", "2026-02-30")),
        ("created", "soon"),
        *(("name", text) for text in ("..", "a/b", "x²", "-rf", "a" * 65, "")),
    ],
)
def test_what_orders_and_names_releases_has_one_form(made: Path, field: str, value: str) -> None:
    facts = json.loads((made / DESCRIPTOR).read_bytes())
    facts[field] = value
    with pytest.raises(BundleError, match=field) as caught:
        Release.parse(json.dumps(facts).encode())
    assert str(caught.value).isprintable()


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}[a-z0-9+.]{0,6}", fullmatch=True))
def test_any_text_can_be_ordered_as_a_version(text: str) -> None:
    assert all(number >= 0 for number in version(text))
    assert version("1.10.0") > version("1.9.9") > version("1.9") == version("1.9.dev3+g12ab")


@pytest.mark.parametrize("kind", ["pipe", "link", "endless"])
def test_a_stick_with_something_else_than_files_is_refused_at_once(
    made: Path, layout: Layout, key: signing.Key, tmp_path: Path, kind: str
) -> None:
    """From a stick as from a connection: no pipe is waited for, no link is followed, and no more is copied than was signed."""
    stick = Path(shutil.copytree(made, tmp_path / "stick"))
    model = stick / "bundle" / "model.onnx"
    model.unlink()
    if kind == "pipe":
        os.mkfifo(model)
    elif kind == "link":
        model.symlink_to("/etc/hostname")
    else:
        model.symlink_to("/dev/zero")
    (tmp_path / "KEY.pub").write_text(key.public)
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(stick / TOOL), "install", str(stick), "--prefix", str(layout.prefix), "--scope", "none",
         "--trust", str(tmp_path / "KEY.pub"), "--any-clock"],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert "regular file" in error["seen"] or "symbolic link" in error["seen"], error
    assert not (layout.releases / Release.read(made).identity).exists()


def test_a_pipe_in_a_release_is_damage(made: Path, tmp_path: Path) -> None:
    release = Release.read(made)
    copy = Path(shutil.copytree(made, tmp_path / release.identity))
    size = (copy / TOOL).stat().st_size
    (copy / TOOL).unlink()
    os.mkfifo(copy / TOOL)
    assert size and TOOL in str(damage(copy, release.identity))
    (copy / TOOL).unlink()
    (copy / TOOL).symlink_to(made / TOOL)
    assert TOOL in str(damage(copy, release.identity))
