"""Training as a user meets it: it learns, repeats, resumes after being killed, and refuses what it should."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from edgeskel.cli.main import main
from edgeskel.data import StoreWriter, split
from edgeskel.errors import CorruptFile, DataError, LabelMismatch, MissingExtra, ModelError, UnknownChoice, UsageError
from edgeskel.models import from_pretrained
from edgeskel.skeleton import Clip
from edgeskel.topologies import get
from edgeskel.training import evaluate, module, state, train, train_folds, trainer
from tests.training.conftest import TINY

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def weights(folder):
    return from_pretrained(folder).state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_and_writes_what_can_be_loaded_and_measured(six, config):
    trained = train(config(epochs=12, validation="subject:7", settings=("learning_rate=0.01", "average=0.9")))
    assert {path.name for path in trained.folder.iterdir()} == {
        "config.json", "model.safetensors", "run.json", "README.md", "report.html", "training", "embedding.npz", "segmenter.json",
    }  # fmt: skip
    found = evaluate(trained.recogniser, six, split(six, validation="subject:7").validation)
    assert found.top1 > 60, "chance is 17"
    kept = json.loads((trained.folder / "run.json").read_text())
    assert kept["validation"] == found.figures()
    assert kept["data_digest"] == six.digest and kept["seed"] == 0 and kept["versions"]["torch"]
    assert len(kept["history"]) == 12
    assert kept["history"][-1]["validation_top1"] == pytest.approx(found.top1)
    assert kept["history"][-1]["loss"] < kept["history"][0]["loss"]
    card = (trained.folder / "README.md").read_text()
    assert six.digest in card and "ICIP 2015" in card and f"{found.top1:.2f} %" in card
    assert list((trained.folder / "training" / "tensorboard").glob("events*"))
    assert not (trained.folder / "training" / "last.ckpt").exists()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(config, tmp_path):
    first, again, other = (
        train(config(out=tmp_path / name, epochs=1, seed=seed)).folder for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from edgeskel.training import TrainConfig, state, train

torch.set_num_threads(1)
saves = 0
def save(self, checkpoint, path, storage_options=None):
    global saves
    saves += 1
    with state.atomic_write(path) as file:
        torch.save({**checkpoint, state.VERSION: 2}, file)
        if saves == 3:  # in the middle of the third epoch's write
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
state.AtomicCheckpoints.save_checkpoint = save
train(TrainConfig(data=Path(sys.argv[1]), out=Path(sys.argv[2]), epochs=4, device="cpu", settings=tuple(sys.argv[3:])))
"""


def test_killed_it_loses_one_epoch_and_ends_as_if_nothing_had_happened(six, config, tmp_path):
    untouched = train(config(out=tmp_path / "untouched", epochs=4))
    out = tmp_path / "killed"
    settings = config().settings
    done = subprocess.run([sys.executable, "-c", KILLED, six.path, out, *settings], env=ENVIRONMENT, check=False)
    assert done.returncode == -9
    assert not (out / "run.json").exists()
    resumed = train(config(out=out, epochs=4))
    assert resumed.resumed_at == 2
    assert resumed.run["history"] == untouched.run["history"]
    assert same(weights(resumed.folder), weights(untouched.folder))


def interrupt(monkeypatch, epoch):
    """Stop the next training in the second step of ``epoch``."""
    step = module.TrainingModule.training_step

    def interrupted(self, batch, index):
        if self.current_epoch == epoch and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    monkeypatch.setattr(module.TrainingModule, "training_step", interrupted)


def test_an_interrupt_is_one_and_the_next_run_goes_on(config, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        train(config())
    trained = train(config())
    assert trained.resumed_at == 1
    assert len(trained.run["history"]) == 2
    assert train(config()).resumed_at == 2, "a finished training is returned as it is"


def test_a_full_disk_leaves_nothing_half_written(config, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            train(config())
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".ckpt", ".tmp", ".safetensors")]


def test_a_disk_that_fills_while_the_state_is_written_is_told_as_such(six, config, tmp_path, monkeypatch, capsys):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state, "atomic_write", lambda path: nullcontext(Full()))
    words = ["--data", str(six.path), "--out", str(tmp_path / "out"), "--epochs", "1", "--device", "cpu", "--quiet"]
    assert main(["train", *words, "--json", "--settings", *config().settings]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "No space left" in error["seen"] and "free some space" in error["remedy"]


def test_a_diverged_training_is_no_success(config):
    with pytest.raises(ModelError, match=r"diverged: in epoch 1 .* nothing is kept.*learning_rate"):
        train(config(settings=("learning_rate=1e12", "clip_norm=0", "average=0")))
    assert not (config().out / "run.json").exists()


def test_what_was_good_before_it_diverged_is_kept(config, monkeypatch):
    step = module.TrainingModule.training_step

    def broken(self, batch, index):
        return step(self, batch, index) * (float("nan") if self.current_epoch == 1 else 1)

    monkeypatch.setattr(module.TrainingModule, "training_step", broken)
    with pytest.raises(ModelError, match="in epoch 2 the loss is nan; the state after epoch 1 is kept"):
        train(config(epochs=3))
    monkeypatch.undo()
    assert train(config(epochs=3)).resumed_at == 1


def test_a_restart_that_is_stopped_goes_on_as_itself(config, monkeypatch):
    train(config(epochs=1))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        train(config(epochs=3, restart=True))
    assert train(config(epochs=3)).resumed_at == 1, "the new training, not anew and not the old one"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 0)
        train(config(epochs=3, restart=True))
    assert train(config(epochs=3)).resumed_at == 0, "the old training of the same configuration is not the result"


def test_another_training_is_not_overwritten(config):
    folder = train(config(epochs=1)).folder
    with pytest.raises(UsageError, match="seed was 0 and is now 1"):
        train(config(epochs=1, seed=1))
    before = weights(folder)
    train(config(epochs=1, seed=1, restart=True))
    assert not same(weights(folder), before)
    (folder / "run.json").write_text("{")
    with pytest.raises(CorruptFile, match=r"run\.json.*--restart"):
        train(config(epochs=1, seed=1))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "README.md", "training/data.csv", "run.json"])
def test_a_folder_with_something_else_is_left_alone(config, tmp_path, name, restart):
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text('{"years": "of work"}')
    with pytest.raises(UsageError, match="holds something else") as raised:
        train(config(restart=restart))
    assert "--restart" not in str(raised.value)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [file]
    assert file.read_text() == '{"years": "of work"}'


@pytest.mark.parametrize("name", ["run.json", "training/last.ckpt"])
def test_what_cannot_be_told_to_be_a_training_is_not_replaced(config, tmp_path, name):
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(UsageError, match=f"nothing in it shows that it is a training's.*{name}"):
        train(config(restart=True))
    assert file.read_text() == "{"


def test_a_damaged_state_is_found_by_its_checksum(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        train(config())
    state = tmp_path / "out" / "training" / "last.ckpt"
    with zipfile.ZipFile(state) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(state.read_bytes())
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    state.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"last\.ckpt.*checksum.*--restart"):
        train(config())
    assert train(config(restart=True)).resumed_at == 0, "as the message says"


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("damage", ["cut", "noise", "bomb", "other"])
def test_a_broken_state_is_refused_by_name(config, tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "out" / "training" / "last.ckpt"
    state.parent.mkdir(parents=True)
    if damage == "other":
        torch.save({"epoch": 3}, state)
    elif damage == "bomb":
        torch.save({"edgeskel_run": Bomb()}, state)
    else:
        torch.save({"edgeskel_run": {}, "weights": torch.zeros(1000)}, state)
        content = state.read_bytes()
        state.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00" * 500)
    with pytest.raises(CorruptFile, match=r"last\.ckpt.*--restart"):
        train(config())
    assert not (tmp_path / "exploded").exists(), "nothing is unpickled"


def test_early_stop_keeps_the_best_epoch(six, config, monkeypatch):
    wanted = iter([40.0, 60.0, 50.0, 55.0, 70.0])
    record = module.TrainingModule.on_train_epoch_end
    at_best = {}

    def scripted(self):
        record(self)
        self.history[-1]["validation_top1"] = next(wanted)
        if len(self.history) == 2:
            at_best.update({name: value.clone() for name, value in self.result.state_dict().items()})

    monkeypatch.setattr(module.TrainingModule, "on_train_epoch_end", scripted)
    trained = train(config(epochs=5, validation="subject:7", patience=2))
    assert len(trained.run["history"]) == 4
    assert same(weights(trained.folder), at_best)


def test_teachers_are_followed_and_not_kept(six, config, tmp_path):
    teacher = train(config(out=tmp_path / "teacher", epochs=1))
    alone = {"distill": 1.0, "temperature": 2.0, "mix": 0, "joint_dropout": 0, "learning_rate": 1e-12}
    student = config(
        out=tmp_path / "student",
        epochs=1,
        start=str(teacher.folder),
        teachers=(str(teacher.folder),),
        settings=(*(f"{name}={value}" for name, value in alone.items()), "average=0", "dropout=0.0"),
    )
    trained = train(student)
    assert trained.run["teachers"] == [str(teacher.folder)]
    mine = {name for name, _ in trained.recogniser.named_parameters()}
    assert mine == {name for name, _ in teacher.recogniser.named_parameters()}


def test_the_causal_form_starts_from_the_weights_of_the_clip_form(config, tmp_path):
    clip = train(config(epochs=1))
    settings = (*(setting for setting in TINY if not setting.startswith("frames")), "learning_rate=1e-9", "average=0")
    causal = config(epochs=1, recogniser="edge-live", out=tmp_path / "live", start=str(clip.folder))
    mine, theirs = weights(train(replace(causal, settings=settings)).folder), weights(clip.folder)
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in mine if name.endswith("weight"))


def test_weights_of_another_shape_are_no_start(config, tmp_path):
    clip = train(config(epochs=1))
    wider = config(recogniser="edge-live", out=tmp_path / "live", start=str(clip.folder))
    with pytest.raises(UsageError, match="whose weights are not those of 'edge-live'"):
        train(replace(wider, settings=()))


def test_a_teacher_of_other_labels_is_refused(config, tmp_path, utd_store):
    teacher = train(config(out=tmp_path / "teacher", epochs=1))
    with pytest.raises(LabelMismatch, match="differ in"):
        train(config(out=tmp_path / "student", data=utd_store.path, teachers=(str(teacher.folder),)))


def test_mixed_precision_keeps_joints_exact(config, monkeypatch):
    from edgeskel.transforms import Streams

    seen = []
    forward = Streams.forward

    def watched(self, joints, confidence):
        found = forward(self, joints, confidence)
        seen.append((found[0].dtype, torch.is_autocast_enabled("cpu")))
        return found

    monkeypatch.setattr(Streams, "forward", watched)
    trained = train(config(epochs=1, precision="bf16"))
    assert set(seen) == {(torch.float32, False)}
    assert np.isfinite(trained.run["history"][-1]["loss"])


def test_each_fold_has_its_folder_and_the_command_averages_them(six, config, tmp_path, capsys):
    trained = train_folds(config(epochs=1, protocol="2-fold"))
    assert [one.folder.name for one in trained] == ["fold-0", "fold-1"]
    assert [one.run["fold"] for one in trained] == [0, 1]
    arguments = ["--data", str(six.path), "--protocol", "2-fold", "--fold", "all", "--json", "--quiet"]
    assert main(["evaluate", str(tmp_path / "out"), *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == len(six)
    assert found["top1"] == pytest.approx(np.mean([row["top1"] for row in found["folds"]]), abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"recogniser": "edgy"}, UnknownChoice),
        ({"protocol": "cross-view"}, UnknownChoice),
        ({"settings": ("widht=3",)}, UnknownChoice),
        ({"start": "nowhere"}, UnknownChoice),
        ({"patience": 3}, UsageError),
        ({"fold": 7}, UsageError),
        ({"precision": "16"}, UsageError),
        ({"settings": ("epochs=3",)}, UsageError),
        ({"protocol": "random", "validation": "0.001"}, UsageError),
        ({"data": "nowhere"}, CorruptFile),
    ],
)
def test_senseless_orders_are_refused_before_anything_is_written(config, tmp_path, changes, error):
    with pytest.raises(error):
        train(config(**changes))
    assert not (tmp_path / "out").exists()


def test_the_commands_train_and_evaluate(six, config, tmp_path, capsys):
    out, told = str(tmp_path / "out"), tmp_path / "train.toml"
    told.write_text(f"epochs = 1\nvalidation = '0.25'\nsettings = {json.dumps(config().settings)}\n")
    common = ["--data", str(six.path), "--json", "--quiet"]
    assert main(["train", "--out", out, "--config", str(told), "--device", "cpu", *common]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["epochs"] == 1 and trained["validation"]["clips"] == trained["clips"]["validation"]
    report = tmp_path / "report.html"
    assert main(["evaluate", out, "--report", str(report), *common]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == len(split(six).test) and {"top1", "top5", "macro_f1", "calibration_error"} <= found.keys()
    assert "<svg" in report.read_text()
    assert main(["evaluate", "edgy", *common]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UnknownChoice"


def test_two_processes_train_as_one(six, config, tmp_path):
    """``torchrun`` and the same command; gloo, since there may be no GPU."""
    extra = ("dropout=0.0", "average=0.9", "learning_rate=0.01")
    share = "0.22"
    held_out = len(split(six, "random", validation=share).validation)
    assert held_out % 32 == 1, "the last batch of the validation holds a clip for one of the two processes"
    split_words = ["--protocol", "random", "--validation", share]
    shards = tmp_path / "shards"
    shards.mkdir()
    script = tmp_path / "edgeskel_train.py"
    script.write_text(
        "import os, sys\n"
        "from edgeskel.cli.main import main\n"
        "from edgeskel.training import module\n"
        "step = module.TrainingModule.training_step\n"
        "def watched(self, batch, index):\n"
        f"    with open(os.path.join({str(shards)!r}, os.environ['RANK']), 'a') as file:\n"
        "        file.write(f'{batch[0].sum().item()} {len(batch[0])}\\n')\n"
        "    return step(self, batch, index)\n"
        "module.TrainingModule.training_step = watched\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--standalone",
         str(script), "train", "--data", str(six.path), "--out", str(tmp_path / "out"), "--epochs", "2",
         *split_words, "--device", "cpu", "--json", "--quiet", "--settings", *config(settings=extra).settings],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["epochs"] == 2 and np.isfinite(found["loss"])
    assert found["validation"]["clips"] == held_out
    assert json.loads((tmp_path / "out" / "run.json").read_text())["processes"] == 2
    first, second = ((shards / rank).read_text().splitlines() for rank in "01")
    assert len(first) == len(second) and not set(first) & set(second), "each process saw clips of its own"
    assert {int(line.split()[1]) for line in first + second} == {16}
    assert len(set(first)) == len(first), "every epoch has another order"
    alone = train(config(epochs=2, protocol="random", validation=share, out=tmp_path / "alone", settings=extra))
    assert found["loss"] == pytest.approx(alone.run["history"][-1]["loss"], rel=0.25)


def test_library_remarks_are_silenced_by_name_only():
    with trainer.quiet_library():  # any other warning is an error in these tests
        warnings.warn("The 'train_dataloader' does not have many workers which", stacklevel=1)
        with pytest.raises(UserWarning, match="something new"):
            warnings.warn("something new", stacklevel=1)


def test_a_state_of_another_version_is_refused_with_the_remedy(config, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        train(config())
    place = config().out / "training" / "last.ckpt"
    old = torch.load(place, weights_only=True)
    del old[state.VERSION]
    torch.save(old, place)
    with pytest.raises(UsageError, match="another version of edgeskel.*--restart"):
        train(config())
    assert train(config(restart=True)).resumed_at == 0


def test_settings_count_where_the_start_is_of_the_same_kind(config, tmp_path):
    first = train(config(epochs=1))
    assert first.recogniser.config.dropout != 0.4
    still = ("dropout=0.4", "learning_rate=1e-12", "average=0")
    again = train(config(out=tmp_path / "again", epochs=1, start=str(first.folder), settings=still)).recogniser
    assert again.config.dropout == 0.4
    for name, value in first.recogniser.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), value, rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match="leave out settings that change its layers"):
        train(config(out=tmp_path / "other", epochs=1, start=str(first.folder), settings=("kernel=5",)))


def test_two_methods_are_refused(config):
    with pytest.raises(UsageError, match="methods class-augmentation and supervised"):
        train(config(method="supervised", settings=("method=class-augmentation",)))


@pytest.mark.parametrize(
    ("tracker", "left"), [("csv", ["csv", "csv-from-epoch-2"]), ("none", []), ("tensorboard", ["tensorboard"])])
def test_curves_go_where_they_are_asked_to(config, monkeypatch, tracker, left):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        train(config(tracker=tracker))
    work = train(config(tracker=tracker)).folder / "training"
    assert sorted(path.name for path in work.iterdir() if path.is_dir()) == left
    if tracker == "csv":
        assert "loss" in (work / "csv" / "metrics.csv").read_text().splitlines()[0]
        train(config(tracker=tracker, restart=True, epochs=1))
        assert sorted(path.name for path in work.iterdir() if path.is_dir()) == ["csv"]


@pytest.mark.parametrize(("tracker", "error"), [("wandb", MissingExtra), ("mlflow", MissingExtra), ("paper", UnknownChoice)])
def test_a_tracker_that_is_not_there_is_named(config, tracker, error):
    if tracker != "paper" and find_spec(tracker) is not None:
        pytest.skip(f"{tracker} is installed here")
    with pytest.raises(error, match=tracker):
        train(config(tracker=tracker))


def test_a_configuration_travels_to_other_processes(config):
    assert pickle.loads(pickle.dumps(config())) == config()


def test_excluded_clips_are_not_learned_from(config, six):
    trained = train(config(epochs=1, settings=('exclude=["*_s1_*", "*_s3_t[12]_*"]',)))
    sources = [six.index["source"][i].decode() for i in split(six, validation=0).train]
    left = [source for source in sources if "_s1_" not in source and "_s3_t1_" not in source and "_s3_t2_" not in source]
    assert 0 < len(left) < len(sources)
    assert trained.run["clips"]["train"] == len(left)


def test_excluding_everything_is_refused(config):
    with pytest.raises(UsageError, match="leaves no clip"):
        train(config(settings=('exclude="*"',)))


def test_paths_may_be_texts(six, config, tmp_path):
    told = config(epochs=1)
    trained = train(replace(told, data=str(told.data), out=str(tmp_path / "texts")))
    assert trained.folder == tmp_path / "texts" and trained.run["data_digest"] == six.digest


def written(folder, clips, labels=("a", "b")):
    with StoreWriter(folder, dataset="mine", topology=get("kinect-v1"), labels=labels, rate_hz=30) as writer:
        for clip in clips:
            writer.add(clip)
    return folder


def clip(label, subject, persons=1, seed=0, nobody=False):
    joints = np.random.default_rng(seed).normal(scale=0.4, size=(persons, 16, 20, 3)).astype(np.float32)
    return Clip(joints, np.full(joints.shape[:3], not nobody, np.float32), np.arange(16) / 30, label=label, subject=subject,
                source=f"{label}-{subject}-{seed}")


def test_a_class_without_a_training_clip_is_named_before_the_first_epoch(config, tmp_path):
    clips = [clip("a" if i < 8 else "b", "1" if i < 6 else "2", seed=i) for i in range(12)]
    told = config(data=written(tmp_path / "store", clips), protocol="subject:2")
    with pytest.raises(DataError, match="no training clip of b in subject:2, no validation part.*some of each of the 2"):
        train(told)
    assert not (tmp_path / "out").exists()


def test_one_clip_of_many_phantoms_does_not_make_a_recogniser_for_six(config, tmp_path):
    clips = [clip("ab"[i % 2], str(i // 2), persons=6 if i == 3 else 1, seed=i) for i in range(12)]
    told = config(data=written(tmp_path / "store", clips), protocol="subject:5", epochs=1)
    assert train(told).recogniser.config.persons == 1


def test_clips_without_anybody_are_named_before_the_first_epoch(config, tmp_path):
    clips = [clip("ab"[i % 2], str(i // 2), seed=i, nobody=i == 3) for i in range(12)]
    with pytest.raises(DataError, match="nobody is seen in 1 clips: b-1-3; .*exclude"):
        train(config(data=written(tmp_path / "store", clips), protocol="subject:5", epochs=1))
    assert not list(tmp_path.glob("out/*.safetensors"))
    told = config(data=tmp_path / "store", protocol="subject:5", epochs=1, settings=('exclude=["b-1-3"]',))
    assert train(told).run["clips"]["train"] == 9


def test_a_training_that_has_not_ended_is_not_evaluated(config, capsys):
    told = config(epochs=1)
    folder = train(told).folder
    (folder / "run.json").unlink()
    assert main(["evaluate", str(folder), "--data", str(told.data), "--json"]) == 2
    assert "has not ended" in json.loads(capsys.readouterr().out)["error"]["message"]
