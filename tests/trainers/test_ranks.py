"""Several ranks: two real processes over gloo come to the numbers of one, and neither waits for ever."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import rank_cases
import torch
from safetensors.torch import load_file
from serving import served, spec

from arena.evaluation import evaluate
from arena.records import open_run
from arena.trainers._metrics import TIMED
from arena.trainers._ranks import Ranks
from arena.trainers._training import Training

PATIENCE = 300.0
"""Seconds after which ranks that do not answer are taken for stuck."""

SMALL = {
    "algorithm": "gigpo",
    "env": "babble/Babble-v0",
    "agent": "chat:window=0,max_tokens=4",
    "steps": 2,
    "tasks": 3,
    "group_size": 2,
    "minibatches": 2,
    "eval_every": 0,
    "checkpoint_every": 1,
    "policy": {"deterministic": True},
}


class Pair:
    """Two ranks that do what they are told."""

    def __init__(self, folder: Path) -> None:
        self._answers: list[queue.Queue[str]] = [queue.Queue(), queue.Queue()]
        self.errors = [folder / f"rank{rank}.txt" for rank in range(2)]
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.processes = [self._start(rank, port) for rank in range(2)]

    def _start(self, rank: int, port: int) -> subprocess.Popen[str]:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        with self.errors[rank].open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, rank_cases.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **{name: str(value) for name, value in place.items()}},
            )
        threading.Thread(target=self._read, args=(process, self._answers[rank]), daemon=True).start()
        return process

    @staticmethod
    def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def do(self, case, **arguments):
        """Do a case of `rank_cases` on both; returns what each of them answered."""
        for process in self.processes:
            process.stdin.write(json.dumps({"case": case.__name__, "arguments": arguments}) + "\n")
            process.stdin.flush()
        found = []
        for answers, errors in zip(self._answers, self.errors, strict=True):
            try:
                line = answers.get(timeout=PATIENCE)
            except queue.Empty:
                pytest.fail(f"{case.__name__}: a rank is stuck")
            assert line, f"{case.__name__}: a rank ended:\n{errors.read_text()}"
            found.append(json.loads(line))
        return found

    def end(self) -> list[int]:
        """Let both end; returns their exit codes."""
        try:
            for process in self.processes:
                process.stdin.close()
            return [process.wait(timeout=PATIENCE) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
                process.stdout.close()


@pytest.fixture(scope="module")
def pair(tiny_model, tmp_path_factory):
    """Two ranks, started once for all tests here."""
    ranks = Pair(tmp_path_factory.mktemp("ranks"))
    yield ranks
    assert ranks.end() == [0, 0]


def config(model, **changed):
    return {**SMALL, "model": str(model), **changed}


def plain(lines):
    """Metrics that depend neither on the clock nor on how rows were cut into passes."""
    return [{n: v for n, v in line.items() if n not in (*TIMED, "padding_waste", "eval")} for line in lines]


def same(lines, others):
    """Equal up to the order in which floats were added."""
    for line, other in zip(plain(lines), plain(others), strict=True):
        assert line.keys() == other.keys()
        for name, value in line.items():
            assert value == pytest.approx(other[name], rel=2e-4, abs=1e-5), name


def weights(folder):
    return load_file(Path(folder) / "model" / "model.safetensors")


def keys(folder):
    with open_run(folder) as run:
        return {row.key for row in run.rows()}


def groups_of_shards(folder):
    """The groups that each rank's shard has episodes of."""
    groups = {}
    with open_run(folder) as run:
        for row in run.rows():
            groups.setdefault(row.shard, set()).add((row.task, row.step))
    return list(groups.values())


def test_gradients_are_those_of_one_rank(pair, tiny_model, tmp_path):
    """Averaged, or divided by a rank's own tokens, or with a spare pass that counts, they would differ."""
    small = config(tiny_model, algorithm="grpo", minibatches=1, pass_tokens=100)
    told = pair.do(rank_cases.gradients, config=small, out=str(tmp_path / "two"))
    alone = rank_cases.gradients(Ranks(), small, str(tmp_path / "one"))
    assert len(told[0]["passes"]) == len(told[1]["passes"])
    own = [number for answer in told for number, spare in answer["passes"] if not spare]
    assert sum(own) == sum(number for number, _ in alone["passes"])
    one, two = (load_file(tmp_path / name / "gradients.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=1e-3, atol=1e-6), name
    assert any(value.abs().max() > 1e-3 for value in one.values())


TRAININGS = {
    "gigpo": {"minibatches": 1, "pass_tokens": 100},
    "reinforce_pp": {"steps": 1},
    "gspo": {"entropy_bonus": 0.01, "smoothing": {"weight": 0.1}, "minibatches": 1},
    "adapters": {"algorithm": "grpo", "policy": {"deterministic": True, "lora_rank": 2}, "kl": 0.1},
    "ppo": {"steps": 1},
    "shared": {"algorithm": "ppo", "settings": {"critic": "shared"}, "steps": 1},
    "archer": {
        "algorithm": "archer",
        "settings": {"critic_updates": 2, "critic_batch": 5, "actor_batch": 3, "baseline": True},
        "steps": 1,
    },
    "bc": {"env": "arena/Maze-v0", "params": {"size": 3}, "settings": {"keep": 0.5}, "steps": 1},
    "ragged": {"env": "ragged/Ragged-v0", "tasks": 4, "steps": 1},
    "fewer tasks than ranks": {"tasks": 1, "steps": 1},
    "curriculum": {
        "algorithm": "grpo",
        "agent": "chat:window=0,max_tokens=1",
        "max_turns": 1,
        "train_tasks": 8,
        "curriculum": {"name": "bandit", "by": "task"},
        "settings": {"dynamic_sampling": True, "sampling_rounds": 3},
    },
}


@pytest.mark.parametrize("changed", TRAININGS.values(), ids=TRAININGS)
def test_two_ranks_train_as_one(pair, tiny_model, tmp_path, request, changed):
    """The same episodes, credit over the whole batch, losses and weights; those who play less wait for the others."""
    name = request.node.callspec.id
    chosen = config(
        tiny_model, **{"algorithm": name if name in ("reinforce_pp", "gspo", "ppo", "bc") else "gigpo", **changed}
    )
    lines, others = pair.do(rank_cases.train, config=chosen, out=str(tmp_path / "two"))
    alone = rank_cases.train(Ranks(), chosen, str(tmp_path / "one"))
    assert plain(lines) == plain(others)
    same(alone, lines)
    assert keys(tmp_path / "one") == keys(tmp_path / "two")
    groups = groups_of_shards(tmp_path / "two")
    assert len(groups) == (2 if chosen["tasks"] > 1 else 1)
    assert len(groups) == 1 or not groups[0] & groups[1], "a group is split across ranks"
    rate = 3e-4 * sum(line["optimiser_steps"] for line in alone)
    assert_close(weights(tmp_path / "one"), weights(tmp_path / "two"), rate)


def test_two_ranks_sample_from_one_server_as_one_does(pair, tiny_model, tmp_path):
    """Each plays its share of the tasks through the server; one of them alone gives it the new weights."""
    pytest.importorskip("uvicorn")
    with served(tiny_model) as (url, _):
        chosen = config(tiny_model, algorithm="grpo", agent="chat:max_tokens=4", sampler=spec(url))
        lines, others = pair.do(rank_cases.train, config=chosen, out=str(tmp_path / "two"))
        alone = rank_cases.train(Ranks(), chosen, str(tmp_path / "one"))
    assert plain(lines) == plain(others)
    same(alone, lines)
    assert keys(tmp_path / "one") == keys(tmp_path / "two")


def assert_close(one, two, rate):
    """The same weights, but for what Adam makes of the order in which floats were added: `rate` is all it may move."""
    assert one.keys() == two.keys()
    assert all((one[name] - two[name]).abs().max() <= 2 * rate for name in one)
    apart = torch.cat([(one[name] - two[name]).abs().flatten() for name in one])
    assert apart.mean() < 0.02 * rate


CRITIC = {"critic": "small:hidden=16,layers=1,heads=2"}
FEW = {"critic_updates": 3, "critic_batch": 5, "actor_batch": 3}
RECORDED = {
    "archer": CRITIC | FEW,
    "offline_archer": CRITIC | FEW,
    "awr": CRITIC | {"batch": 5, "critic_warmup": 0},
    "ilql": CRITIC | {"batch": 5},
    "mc": CRITIC | {"batch": 5},
    "dmpo": {"batch": 3},
    "a_lol": CRITIC | {"batch": 5, "critic_warmup": 0},
    "digirl": CRITIC | {"batch": 5, "critic_warmup": 0, "keep": 0.5},
}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Four tasks, played well and badly."""
    folder = tmp_path_factory.mktemp("played")
    for agent in ("oracle", "random"):
        evaluate("arena/KeyDoor-v0", agent, tasks=4, max_turns=10, out=folder / agent)
    return [str(folder / agent) for agent in ("oracle", "random")]


@pytest.mark.parametrize("algorithm", RECORDED)
def test_two_ranks_learn_from_recorded_episodes_as_one(pair, tiny_model, played, tmp_path, algorithm):
    """The same draws, targets and losses on both; a rank fitting its own share would have its own critic."""
    chosen = {
        "algorithm": algorithm,
        "env": "arena/KeyDoor-v0",
        "model": str(tiny_model),
        "agent": "chat:window=0,max_tokens=4,system=nothing.j2,user=observation.j2",
        "data": {"runs": played},
        "steps": 1,
        "minibatches": 1,
        "eval_every": 0,
        "settings": RECORDED[algorithm],
        "policy": {"deterministic": True},
    }
    lines, others = pair.do(rank_cases.train, config=chosen, out=str(tmp_path / "two"))
    alone = rank_cases.train(Ranks(), chosen, str(tmp_path / "one"))
    assert plain(lines) == plain(others)
    same(alone, lines)
    assert_close(weights(tmp_path / "one"), weights(tmp_path / "two"), 3e-4)
    for file in (tmp_path / "one" / "critic").rglob("*.safetensors"):
        assert_close(load_file(file), load_file(tmp_path / "two" / file.relative_to(tmp_path / "one")), 3e-3)


@pytest.mark.parametrize("adapters", [0, 2])
def test_a_run_goes_on_with_another_number_of_ranks(pair, tiny_model, tmp_path, adapters):
    """A checkpoint in parts, or moments that stayed on the rank that held them, could not be taken up by others."""
    chosen = config(tiny_model, steps=3, policy={"deterministic": True, "lora_rank": adapters})
    whole = rank_cases.train(Ranks(), chosen, str(tmp_path / "whole"))
    halves = tmp_path / "halves"
    with Training.start(rank_cases.TrainConfig.read(chosen), halves) as first:
        first.on_progress = lambda text: setattr(first, "stopping", first.stopping or "updating" in text)
        first.run()
    assert first.done == 1
    pair.do(rank_cases.train_until, resume=str(halves), until=2)
    with Training.resume(halves) as last:
        assert last.done == 2
        last.run()
    same(whole, last.metrics.lines)
    assert keys(halves) == keys(tmp_path / "whole")


def test_what_fails_on_one_rank_fails_on_all(pair, tiny_model, tmp_path):
    """The others would play on, and wait for ever for a rank that has given up."""
    chosen = config(tiny_model)
    first, second = pair.do(rank_cases.fail_on_one, config=chosen, out=str(tmp_path / "run"), on=1)
    assert re.match(r"RankFailed: Rank 1: .*This one does not play", first[0], re.DOTALL)
    assert re.match(r"UsageError: .*This one does not play", second[0], re.DOTALL)
    assert first[1] == second[1] == [0, 1]


def test_a_loss_that_is_no_number_on_one_rank_stops_all(pair, tiny_model, tmp_path):
    """One rank's NaN would spoil the weights of all; the batch that has it is saved, once."""
    told = pair.do(rank_cases.diverge, config=config(tiny_model, minibatches=1), out=str(tmp_path / "run"))
    assert sorted(said.partition(":")[0] for said, _ in told) == ["RankFailed", "TrainingDiverged"]
    assert all("step 1 is not a number" in said and unchanged for said, unchanged in told)
    (saved,) = (tmp_path / "run" / "failed").iterdir()
    assert torch.isnan(load_file(saved)["advantage"]).any()


def test_kill_nine_on_one_rank_ends_all_with_a_word_and_the_run_resumes(tiny_model, tmp_path):
    """Under torchrun, as a user starts it: nobody waits for the dead, one sentence says what happened."""
    run = tmp_path / "run"
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "arena.cli", "train", "grpo"]
    words += ["--env", "arena/Maze-v0", "-m", str(tiny_model), "-o", str(run), "-n", "2", "-g", "2"]
    words += ["-a", "chat:window=0,max_tokens=4", "--steps", "1000"]
    for setting in ("params.size=3", "max_turns=3", "eval_every=0", "checkpoint_every=1"):
        words += ["--set", setting]
    with (tmp_path / "said.txt").open("w") as said:
        launcher = subprocess.Popen([sys.executable, "-m", *words], stdout=said, stderr=said)
        try:
            wait_for((run / "checkpoints" / "step-000002").exists, launcher)
            (victim,) = (pid for pid in children(launcher.pid) if rank_of(pid) == "1")
            os.kill(victim, signal.SIGKILL)
            assert launcher.wait(timeout=PATIENCE) != 0
        finally:
            launcher.terminate()
            launcher.wait()
    text = (tmp_path / "said.txt").read_text()
    assert text.count("error: Rank 1: its process ended without a word") == 1
    assert f"go on with: arena train --resume {run}" in text
    with Training.resume(run) as training:
        begun = training.done
        training.on_progress = lambda text: setattr(training, "stopping", True)
        training.run()
    assert training.done == begun + 1 >= 3


def wait_for(holds, launcher):
    """Look until it holds."""
    for _ in range(int(PATIENCE * 10)):
        if holds():
            return
        assert launcher.poll() is None
        time.sleep(0.1)
    pytest.fail("the ranks are stuck")


def children(pid):
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rank_of(pid):
    """Which rank torchrun made a process."""
    pairs = (entry.partition("=") for entry in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    return next((value for name, _, value in pairs if name == "RANK"), None)
