"""What cannot work is told in a sentence before any work is lost; a full disk costs no more than it must."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import flaky  # noqa: F401 - registers the environments

from arena.core.episode import Call, Episode
from arena.core.errors import InfrastructureError, UsageError
from arena.evaluation.evaluate import in_any_thread
from arena.rollout import Engine, Job
from arena.trainers import _checkpoint
from arena.trainers._algorithms import ALGORITHMS
from arena.trainers._collect import check_logprobs
from arena.trainers._config import TrainConfig
from arena.trainers._policy import Policy
from arena.trainers._preflight import check_rewards
from arena.trainers._start import sampling_temperature
from arena.trainers._tasks import training_tasks
from arena.trainers._training import Training

SMALL = {
    "algorithm": "grpo",
    "env": "arena/Maze-v0",
    "params": {"size": 3},
    "agent": "chat:window=0,max_tokens=2",
    "max_turns": 2,
    "steps": 3,
    "tasks": 2,
    "group_size": 2,
    "eval_every": 0,
    "checkpoint_every": 1,
}


def config(model, **changed):
    return TrainConfig.read({**SMALL, "model": str(model), **changed})


def test_an_environment_that_rewards_nothing(tiny_model, tmp_path):
    """Its oracle solves it and earns 0: a night of training would find no episode better than another."""
    with pytest.raises(UsageError, match=r"flaky/Worthless-v0 gives no rewards: its oracle solved .* arena train bc"):
        Training.start(config(tiny_model, env="flaky/Worthless-v0", params={}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_suite_that_rewards_nothing(tiny_model, tmp_path):
    """One such environment among others is found too."""
    suite = tmp_path / "mixed.toml"
    suite.write_text(
        'name = "mixed"\n[[tasks]]\nenv = "arena/Maze-v0"\nparams = {size = 3}\nn = 2\n'
        '[[tasks]]\nenv = "flaky/Worthless-v0"\nn = 2\n'
    )
    with pytest.raises(UsageError, match="flaky/Worthless-v0 gives no rewards"):
        Training.start(config(tiny_model, env=str(suite), params={}, tasks=1), tmp_path / "run")


def test_environments_with_rewards_or_without_an_oracle_pass():
    for env in ("arena/Maze-v0", "flaky/Flaky-v0"):
        in_any_thread(check_rewards(training_tasks(config("m", env=env, params={}, max_turns=None))[0]))


@pytest.mark.parametrize("name", ["gigpo", "grpo", "gspo", "loop", "opo", "rloo"])
def test_a_group_of_one_is_refused_where_groups_are_compared(name):
    """All advantages would be 0, and nothing learned until somebody wonders."""
    with pytest.raises(UsageError, match=rf"{name} compares the episodes .* group_size=1 .*ppo, reinforce"):
        config("m", algorithm=name, group_size=1)


CUT_OFF = "chat:top_p=0.9"


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_cut_off_distribution_is_refused_where_a_ratio_is_taken(tiny_model, name):
    """By what the algorithm declares: a new one is not forgotten in a list of names."""
    from arena.agents import build as build_agent
    from arena.rollout import RecordedModel

    policy = Policy.load(tiny_model)
    agent = build_agent(CUT_OFF, RecordedModel(policy.model))
    if ALGORITHMS[name].ratio:
        with pytest.raises(UsageError, match="cuts off the distribution"):
            sampling_temperature(agent, policy, name)
    else:
        assert sampling_temperature(agent, policy, name) == 1.0


def test_raw_log_probabilities_at_another_temperature():
    """A ratio with them is off by the temperature on every token."""
    from arena.agents import build as build_agent

    idle = build_agent("idle")
    played: list[Episode] = []
    task = training_tasks(config("m"))[0]
    in_any_thread(Engine({"agent": idle}, on_episode=played.append).run([Job(task)]))
    call = Call(model="served", prompt=(), logprob_kind="raw", logprobs=(-1.0,), token_ids=(5,))
    turn = played[0].turns[0].model_copy(update={"calls": (call,)})
    episode = played[0].model_copy(update={"turns": (turn,)})
    check_logprobs([episode], 1.0, "grpo")
    with pytest.raises(UsageError, match=r"samples at 0.7; grpo .* temperature=1"):
        check_logprobs([episode], 0.7, "grpo")
    sampled = turn.model_copy(update={"calls": (call.model_copy(update={"logprob_kind": "sampled"}),)})
    check_logprobs([episode.model_copy(update={"turns": (sampled,)})], 0.7, "grpo")


def test_a_disk_without_room_for_the_checkpoints(tiny_model, tmp_path, monkeypatch):
    """Told at the first checkpoint that does not fit, it would cost all steps until then."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1_000_000))
    with pytest.raises(InfrastructureError, match=r"take 0.\d+ GB, and .* has 0.001 GB left"):
        Training.start(config(tiny_model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


FULL_DISK = """
import json, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from arena.core.errors import InfrastructureError
from arena.trainers._config import TrainConfig
from arena.trainers._training import Training
values, disk = json.loads(sys.argv[1]), Path(sys.argv[2])
try:
    with Training.start(TrainConfig.read(values), disk / "run") as training:
        def fill(text):
            if text.startswith("step 2/") and "updating" in text:
                with (disk / "filler").open("wb", buffering=0) as file:
                    try:
                        while file.write(bytes(65536)):
                            pass
                    except OSError:
                        pass
        training.on_progress = fill
        training.run()
except InfrastructureError as error:
    print(error)
    (disk / "filler").unlink()
with Training.resume(disk / "run") as again:
    print("resumed at", again.done)
    again.run()
print("done", again.done)
"""


def test_a_disk_that_runs_full_while_checkpointing(tiny_model, require, tmp_path):
    """On a real file system without a free block: the checkpoint before stands, and the run goes on from it."""
    require("netns")
    disk = tmp_path / "disk"
    disk.mkdir()
    values = json.dumps({**SMALL, "model": str(tiny_model)})
    mount = 'mount -t tmpfs -o size=40m none "$1" && exec "$2" -c "$3" "$4" "$1"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(disk), sys.executable, FULL_DISK, values]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert "resumed at 1" in done.stdout
    assert "done 3" in done.stdout


def test_no_checkpoint_is_half_written(tiny_model, tmp_path):
    """A folder of the checkpoint's name that lacks a file would be taken for the newest."""
    with Training.start(config(tiny_model), tmp_path / "run") as training:
        parts = {"broken": _Broken()}
        training.parts = parts
        with pytest.raises(InfrastructureError, match="could not be written"):
            training.run()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000000"]
    assert _checkpoint.read_state(_checkpoint.newest(tmp_path / "run")).step == 0


class _Broken:
    def save(self, folder):
        folder.mkdir()
        (folder / "begun").write_text("half")
        raise OSError(28, "No space left on device")
