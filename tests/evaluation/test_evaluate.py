"""Evaluations: the Python function, resuming after kill -9, refusals, comparison."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import arena
from arena.agents import build
from arena.core import registry
from arena.core.errors import ModelUnavailable, ResumeRefused, UnknownName, UsageError
from arena.core.messages import Completion, TextPart, Usage
from arena.core.model import Model, Traits, conversation
from arena.core.outcome import Outcome
from arena.core.registry import registration
from arena.evaluation import EvalConfig, Progress, evaluate
from arena.evaluation.config import versions, with_settings
from arena.records import open_run
from arena.rollout import RecordedModel

HERE = Path(__file__).parent
GAME = "arena/GuessNumber-v0"


def comparable(folder: Path) -> str:
    """The summary without what may differ between equal evaluations (times, attempts)."""
    summary = json.loads((folder / "summary.json").read_text())
    del summary["run"]
    return json.dumps(summary, indent=1)


def test_the_python_function_evaluates_and_shows_its_table(tmp_path):
    evaluation = evaluate("guess-number", "oracle", out=tmp_path / "run")
    assert evaluation.summary.overall.score.mean == 1.0
    assert evaluation.complete
    assert "arena/GuessNumber-v0" in repr(evaluation)
    assert len(evaluation.run.rows()) == len(arena.suite("guess-number").tasks)


def test_it_works_where_a_loop_is_running_as_in_a_notebook(tmp_path):
    async def cell() -> float:
        return evaluate("arena/GuessNumber-v0", "oracle", tasks=3, out=tmp_path / "run").summary.overall.score.mean

    assert asyncio.run(cell()) == 1.0


def test_repeats_give_pass_rates_and_clustered_intervals(tmp_path):
    summary = evaluate("arena/Maze-v0", "random", tasks=4, repeats=4, out=tmp_path / "run").summary
    assert set(summary.overall.passes) == {"pass@1", "pass@2", "pass@4", "pass^1", "pass^2", "pass^4"}
    assert summary.overall.passes["pass@1"].mean == pytest.approx(summary.overall.success.mean)
    assert summary.overall.passes["pass@4"].mean >= summary.overall.passes["pass@1"].mean
    assert summary.overall.score.method == "clustered"
    assert summary.warnings == (
        "Clustered intervals are rough where there are fewer than 10 tasks: arena/Maze-v0 (4).",
    )


def run_cli(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "arena.cli", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


def test_kill_9_in_the_middle_then_resume_equals_an_uninterrupted_run(tmp_path):
    arguments = ["eval", "maze", "-a", "slow_agents:Slow", "-j", "16", "--set", "max_turns=25"]
    assert run_cli(*arguments, "-o", tmp_path / "whole").returncode == 0
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "arena.cli", *arguments, "-o", str(tmp_path / "killed")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        shards = tmp_path / "killed" / "episodes"
        while process.poll() is None and sum(p.stat().st_size for p in shards.glob("*")) < 4000:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    before = open_run(tmp_path / "killed")
    assert 0 < len(before.rows()) < 80
    assert list(before.unfinished()), "the turns of unfinished episodes stay readable"
    shard = next(shards.glob("*"))
    with shard.open("ab") as file:
        file.write(shard.read_bytes()[:100])  # a torn frame
    resumed = run_cli("eval", "--resume", tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert comparable(tmp_path / "killed") == comparable(tmp_path / "whole")


def test_a_truncated_shard_is_survived_and_its_episodes_are_done_again(tmp_path):
    evaluate("guess-number", "random", out=tmp_path / "run")
    whole = comparable(tmp_path / "run")
    shard = next((tmp_path / "run" / "episodes").glob("*"))
    os.truncate(shard, shard.stat().st_size // 2)
    evaluate("guess-number", "random", resume=tmp_path / "run")
    assert comparable(tmp_path / "run") == whole


SUITE = """
name = "mine"
[[tasks]]
env = "arena/GuessNumber-v0"
seeds = [1, 2, 3]
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": SUITE.replace("2, 3", "2, 4")}, "suite.hash"),
        ({"agent": "idle"}, "agents.agent"),
        ({"seed": 5}, "settings.seed"),
        ({"limits": {"seconds": 9.0}}, "settings.limits"),
        ({"suite": SUITE.replace("GuessNumber-v0", "Wordle-v0")}, "suite"),
    ],
)
def test_resuming_something_else_is_refused_with_the_difference(tmp_path, change, said):
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    options: dict[str, Any] = {"agent": "oracle", "seed": 0}
    evaluate(str(path), **options, out=tmp_path / "run")
    path.write_text(change.pop("suite", SUITE))
    with pytest.raises(ResumeRefused, match=said):
        evaluate(str(path), **{**options, **change}, resume=tmp_path / "run")


def test_a_changed_prompt_is_refused(tmp_path):
    template = tmp_path / "system.j2"
    template.write_text("Play. {{ instructions }}")
    replies = tmp_path / "replies.json"
    replies.write_text('["5", "7"]')
    options: dict[str, Any] = {"agent": f"chat:system={template}", "model": f"scripted:{replies}", "tasks": 2}
    evaluate("arena/GuessNumber-v0", **options, out=tmp_path / "run")
    template.write_text("Play well. {{ instructions }}")
    with pytest.raises(ResumeRefused, match="prompt"):
        evaluate("arena/GuessNumber-v0", **options, resume=tmp_path / "run")


class Guesser:
    """A model that always guesses 7, for a dollar; `fails` requests fail first."""

    traits = Traits(identity="guesser", priced=True)

    def __init__(self, spec: str = "guesser", fails: int = 0, traits: Traits = traits) -> None:
        self.spec, self.fails, self.traits = spec, fails, traits

    async def complete(self, messages, sampling, tools=(), after=None):
        if self.fails:
            self.fails -= 1
            raise ModelUnavailable("down")
        usage = Usage(input=10, output=1)
        completion = Completion(parts=(TextPart(text="7"),), usage=usage, cost=1.0)
        return completion.following(conversation(messages, after))

    async def aclose(self):
        pass


@dataclass(frozen=True)
class Frozen:
    """A model agent of one's own, as a dataclass."""

    model: Model
    spec: str = "mine"

    def start(self, brief, seed):
        return build("chat", self.model).start(brief, seed)


class Plain:
    """And as a plain class that keeps its model to itself."""

    spec = "mine"

    def __init__(self, model: Model) -> None:
        self._model = model

    def start(self, brief, seed):
        return build("chat", self._model).start(brief, seed)


@pytest.mark.parametrize("make", [lambda model: build("chat", model), Frozen, Plain, lambda m: Plain(RecordedModel(m))])
def test_calls_of_an_agent_made_with_its_model_are_recorded(tmp_path, make):
    """They would cost nothing, meet no limit, be seeded by nobody, and be answered by any model when resumed."""
    model = Guesser()
    agent = make(model)
    before = dict(vars(agent))
    evaluation = evaluate(GAME, agent, tasks=2, max_turns=3, out=tmp_path / "run")
    [one, other] = evaluation.run.episodes()
    for episode in (one, other):
        assert [(call.model, call.cost) for call in episode.calls] == [("guesser", 1.0)] * 3
        assert (len(episode.turns), episode.usage.total) == (3, 33)
    assert evaluation.summary.run["spent"] == 6.0
    assert evaluation.run.config["identity"]["model"] == {"identity": "guesser", "spec": "guesser"}
    assert evaluation.run.config["eval"]["model"] == "guesser"
    assert vars(agent) == before, "the caller's agent stays as it is"
    limited = evaluate(GAME, make(model), tasks=1, limits={"cost": 1.5}, out=tmp_path / "limited")
    assert limited.summary.overall.limits == {"cost": 1}
    changed = Guesser(traits=Traits(identity="other weights", priced=True))
    with pytest.raises(ResumeRefused, match=r"identity\.model\.identity"):
        evaluate(GAME, make(changed), tasks=2, max_turns=3, resume=tmp_path / "run")


@pytest.mark.parametrize("other", [Guesser(), "scripted:echo"])
def test_an_agent_made_with_a_model_takes_no_other(tmp_path, other):
    """One of the two would be asked, and the record would name the other."""
    with pytest.raises(UsageError, match="was made with the model guesser, so it takes no other"):
        evaluate(GAME, build("chat", Guesser()), other, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


SERVED = "openai:qwen@http://127.0.0.1:9/v1,max_retries=0"


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"model": f"{SERVED},body_min_p=0.9"}, "identity.model.spec"),
        ({"model": SERVED}, "identity.model.spec"),
        ({"model": f"{SERVED},body_min_p=0.1".replace("qwen", "qwen2")}, "identity.model.identity"),
        ({"roles": {"judge": f"{SERVED},body_top_a=0.2"}}, "identity.roles.judge.spec"),
        ({"model": f"{SERVED},body_min_p=0.1,timeout=9".replace("127.0.0.1", "localhost")}, None),
    ],
)
def test_what_changes_the_answers_of_a_model_is_compared(tmp_path, change, refused):
    """Half of a resumed run would be sampled otherwise; another server or more patience changes nothing."""
    options = {"model": f"{SERVED},body_min_p=0.1", "roles": {"judge": SERVED}}
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE)
    evaluate(str(suite), "idle", **options, out=tmp_path / "run")
    if refused is None:
        assert evaluate(str(suite), "idle", **{**options, **change}, resume=tmp_path / "run").complete
        return
    with pytest.raises(ResumeRefused, match=refused.replace(".", r"\.")):
        evaluate(str(suite), "idle", **{**options, **change}, resume=tmp_path / "run")


def test_an_episode_tried_again_counts_once_by_its_newest_attempt(tmp_path):
    """10 of 10 would be done after 5, and the episodes lost in between would never leave the line."""
    lines: list[tuple[int, dict[Outcome, int]]] = []

    def show(progress: Progress) -> None:
        lines.append((progress.done, {outcome: n for outcome, n in progress.outcomes.items() if n}))

    options: dict[str, Any] = {"tasks": 4, "max_turns": 1, "concurrency": 1, "on_progress": show}
    evaluate(GAME, build("chat", Guesser(fails=3)), **options, out=tmp_path / "run")
    assert [done for done, _ in lines] == [0, 1, 1, 2, 2, 3, 4], "it is shown at once that it runs"
    assert lines[2][1] == {Outcome.INFRASTRUCTURE_ERROR: 1}
    assert lines[-1][1] == {Outcome.INFRASTRUCTURE_ERROR: 1, Outcome.TRUNCATED: 3}


def test_a_resumed_run_goes_on_counting_what_it_spent(tmp_path):
    """What a person stopped at $3 would look as if it had cost the last dollar only."""
    lines: list[str] = []
    options: dict[str, Any] = {"tasks": 4, "max_turns": 1, "concurrency": 1}
    evaluate(GAME, build("chat", Guesser()), **options, max_cost=3, out=tmp_path / "run")
    second = evaluate(
        GAME, build("chat", Guesser()), **options, resume=tmp_path / "run", on_progress=lambda p: lines.append(p.line())
    )
    assert second.summary.run["spent"] == 4.0
    assert lines[-1].startswith("4/4 episodes")
    assert lines[-1].endswith("$4.00")


@pytest.mark.parametrize(
    ("config", "warnings"),
    [
        ({"target": GAME, "agent": "oracle", "tasks": 2}, ()),
        ({"target": GAME, "agent": "oracle", "tasks": 1}, ()),
        ({"target": "guess-number", "agent": "oracle", "tasks": 3}, ()),
        (
            {"target": GAME, "agent": "chat", "model": "down", "tasks": 2},
            ("1 of 2 episodes is not scored and not in the means; --resume plays it.",),
        ),
        ({"target": GAME, "agent": "chat", "model": "down", "tasks": 1}, ("The episode is not scored.",)),
        (
            {"target": "quickstart", "agent": "oracle", "tasks": 1, "repeats": 2},
            ("Clustered intervals are rough where there are fewer than 10 tasks: arena/GuessNumber-v0 (1).",),
        ),
    ],
)
def test_warnings_are_due_and_readable(tmp_path, config, warnings):
    """Tasks drawn from an environment are no unproved suite, and one task has an interval of its own."""
    if config.pop("model", None):
        config |= {"agent": build("chat", Guesser(fails=1)), "retries": 0, "concurrency": 1}
    assert evaluate(**config, out=tmp_path / "run").summary.warnings == warnings


def test_a_suite_that_is_unproved_is_called_so(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.replace('"mine"', '"of/mine"'))
    warnings = evaluate(str(path), "oracle", out=tmp_path / "run").summary.warnings
    assert warnings == ("The suite of/mine is unproved: nobody has shown that each task can be solved.",)


def test_a_changed_library_is_refused(tmp_path, monkeypatch):
    """Half of the episodes would be those of another game: TextWorld's games depend on its version."""
    assert "textworld" in versions(("arena/TWSimple-v0",))
    known = registration("arena/GuessNumber-v0")
    monkeypatch.setitem(registry._environments, known.id, replace(known, packages=("pytest", "no-such-library")))
    first = evaluate(known.id, "oracle", tasks=2, out=tmp_path / "run")
    recorded = first.run.config["versions"]
    assert (recorded["pytest"], recorded["no-such-library"]) == (pytest.__version__, "unknown")
    evaluate(known.id, "oracle", tasks=2, resume=tmp_path / "run")
    file = tmp_path / "run" / "run.toml"
    file.write_text(file.read_text().replace(f'pytest = "{pytest.__version__}"', 'pytest = "0.1"'))
    with pytest.raises(ResumeRefused, match=r"versions\.pytest: was \"0\.1\""):
        evaluate(known.id, "oracle", tasks=2, resume=tmp_path / "run")


OWN = """
from arena.core.env import Env
from arena.core.registry import register

class Door(Env):
    instructions = "Open the door."
    idle = "wait"
    def _reset(self, task):
        return "A door.", {}
    def _step(self, action):
        return "It opens.", 1.0, True, False, {"success": action == "open"}

register("own/Door-v0", "own_door:Door", max_turns=3)
"""


def test_a_run_of_ones_own_module_is_replayed_in_another_process(tmp_path):
    """Nothing else says where the environment is: its record would be of no use to anyone else."""
    (tmp_path / "own_door.py").write_text(OWN)
    played = ["eval", "own_door:own/Door-v0", "-a", "scripted:text=open", "-n", "2", "-o", "run"]
    assert run_cli(*played, cwd=tmp_path).returncode == 0
    again = run_cli("replay", "run", "--execute", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert "no divergence" in again.stdout
    [section] = json.loads((tmp_path / "run" / "summary.json").read_text())["environments"]
    assert section == "own_door:own/Door-v0"


def test_unscored_episodes_are_done_again_with_a_new_attempt(tmp_path):
    """An episode that was cancelled is not scored as zero; resuming plays it and only it."""
    from arena.records import resume_run

    first = evaluate("arena/GuessNumber-v0", "oracle", tasks=3, out=tmp_path / "run")
    done = next(first.run.episodes())
    config = first.run.config
    with resume_run(tmp_path / "run", config, ()) as writer:
        lost = done.model_copy(
            update={
                "outcome": Outcome.CANCELLED,
                "score": None,
                "success": None,
                "key": done.key.model_copy(update={"attempt": 1}),
            }
        )
        writer.append(lost)
    again = evaluate("arena/GuessNumber-v0", "oracle", tasks=3, resume=tmp_path / "run")
    assert again.summary.overall.coverage == 1.0
    attempts = [row.attempt for row in again.run.rows(latest=False) if row.task == done.key.task]
    assert sorted(attempts) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"repeats": 0}, "repeats"),
        ({"concurrency": 0}, "concurrency"),
        ({"nonsense": 1}, "nonsense"),
        ({"limits": {"turn": 3}}, "limits"),
        ({"tasks": 0}, "tasks"),
    ],
)
def test_bad_options_are_named(tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        evaluate("arena/NoughtsAndCrosses-v0", "random", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_an_unknown_target_says_what_was_probably_meant():
    with pytest.raises(UnknownName, match="guess-number"):
        evaluate("gess-number")
    with pytest.raises(UnknownName, match="arena/Wordle-v0"):
        evaluate("arena/Wordl-v0")


def test_settings_reach_nested_tables():
    values = with_settings({"limits": {"tokens": 5}}, ["limits.seconds=60", "params.size=7", "agent=random"])
    assert values == {"limits": {"tokens": 5, "seconds": 60}, "params": {"size": 7}, "agent": "random"}
    assert EvalConfig.read({"target": "maze", **{k: values[k] for k in ("limits",)}}).limits.seconds == 60
    with pytest.raises(UsageError, match="KEY=VALUE"):
        with_settings({}, ["limits"])


def test_comparing_a_run_with_a_better_one_names_the_flips(tmp_path):
    worse = evaluate("maze", "random", out=tmp_path / "worse").run
    better = evaluate("maze", "oracle", out=tmp_path / "better").run
    comparison = arena.compare(worse, better)
    assert comparison.difference.low > 0.5
    assert not comparison.worse
    assert len(comparison.better) + sum(row.score == 1.0 for row in worse.rows()) == comparison.shared == 80
    backwards = arena.compare(better, worse)
    assert backwards.difference.mean == pytest.approx(-comparison.difference.mean)


def test_comparing_runs_without_a_shared_task_is_refused(tmp_path):
    first = evaluate("arena/GuessNumber-v0", "oracle", tasks=2, out=tmp_path / "a").run
    second = evaluate("arena/GuessNumber-v0", "oracle", tasks=2, task_seed=9, out=tmp_path / "b").run
    with pytest.raises(UsageError, match="share no"):
        arena.compare(first, second)
