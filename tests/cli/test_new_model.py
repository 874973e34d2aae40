"""`arena train -m new:FOLDER`: a model for a game, from the command line alone."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from arena.cli._app import run as arena

TRAIN = ["train", "bc", "--env", "arena/KeyDoor-v0", "--steps", "1", "-n", "2", "--set", "eval_every=0"]
STUDENT = ["-a", "chat:window=1,system=nothing.j2,user=actions.j2,max_tokens=1"]
SMALL = ["--set", "params.length=1", "--set", "params.branching=0", "--set", "params.keys=1", "--set", "minibatches=1"]


def test_a_model_is_made_once_and_trained(tmp_path: Path, capsys):
    """Made anew by every command, a run that goes on with it would go on with another model."""
    student = tmp_path / "deep" / "student"
    words = [*TRAIN, *STUDENT, *SMALL, "-m", f"new:{student}"]
    assert arena([*words, "-o", str(tmp_path / "one")]) == 0, capsys.readouterr().err
    weights = (student / "model.safetensors").read_bytes()
    assert arena([*words, "-o", str(tmp_path / "two"), "--seed", "7"]) == 0, capsys.readouterr().err
    assert (student / "model.safetensors").read_bytes() == weights
    assert [path.name for path in student.parent.iterdir()] == ["student"], "nothing half made is left"
    assert (tmp_path / "one" / "model" / "config.json").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-m new: --env arena/KeyDoor-v0", "names the folder in which the model is made"),
        ("-m new:student --env text-small", "text-small is a suite: name an environment"),
        ("-m new:taken --env arena/KeyDoor-v0", "taken is there and holds no model"),
        ("-m new:student --env arena/GuessNumber-v0", "is 2 tokens; a student writes one"),
    ],
)
def test_what_cannot_be_made_is_said(words, reason, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    assert arena(["train", "bc", *words.split(), *STUDENT]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
