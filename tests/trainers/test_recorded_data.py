"""Recorded runs as training data: filters say what they leave, and what cannot be learned from is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from arena.cli._app import run as arena
from arena.core.errors import UsageError
from arena.evaluation import evaluate
from arena.records import open_run
from arena.trainers._data import DataOptions, read_data, require_rewards

ENV = "arena/KeyDoor-v0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twelve episodes of an oracle, twelve of a random agent, six of another environment."""
    folder = tmp_path_factory.mktemp("runs")
    for name, env, agent, number in (
        ("oracle", ENV, "oracle", 12),
        ("random", ENV, "random", 12),
        ("idle", ENV, "idle", 4),
        ("other", "arena/GuessNumber-v0", "oracle", 6),
    ):
        evaluate(env, agent, tasks=number, out=folder / name)
    return {path.name: path for path in folder.iterdir()}


def data(runs, *names: str, **options):
    return read_data(DataOptions(runs=tuple(str(runs[name]) for name in names), **options), (ENV,))


def test_all_runs_are_read_and_the_report_counts_turns(runs):
    found = data(runs, "oracle", "random", "other")
    episodes = list(found.episodes())
    assert len(episodes) == 24
    assert found.turns == sum(len(episode.turns) for episode in episodes)
    assert found.report[0].startswith("3 run(s): ")
    assert found.report[-1] == f"of {ENV}: {found.turns:,} turns of 24 episodes"


def test_each_filter_keeps_what_it_says(runs):
    rows = [row for name in ("oracle", "random") for row in open_run(runs[name]).rows()]

    def expected(keeps) -> list[str]:
        return sorted(row.name + row.agent for row in rows if keeps(row))

    def found(**options) -> list[str]:
        return sorted(row.name + row.agent for _, row in data(runs, "oracle", "random", **options).rows)

    assert found(success=True) == expected(lambda row: row.success)
    assert found(agent="rand*") == expected(lambda row: row.agent == "random")
    assert found(min_score=0.5) == expected(lambda row: row.score >= 0.5)
    assert found(max_score=0.5) == expected(lambda row: row.score <= 0.5)
    assert found(outcomes=("truncated",)) == expected(lambda row: row.outcome == "truncated")
    middle = sorted(datetime.fromisoformat(row.started) for row in rows)[12]
    early, late = found(until=middle), found(since=middle)
    assert len(early) + len(late) == 24
    assert early
    assert late


def test_each_filter_says_what_it_left_also_where_that_is_all(runs):
    """Whoever asked for it could not tell a filter that keeps everything from one that was not understood."""
    found = data(runs, "oracle", min_score=0.5, agent="ora*")
    left = f"{found.turns:,} turns of 12 episodes"
    assert found.report == [f"1 run(s): {left}", f"score at least 0.5: {left}", f"played by ora*: {left}"]


@pytest.mark.parametrize(
    ("names", "options", "reason"),
    [
        (("random",), {"agent": "human"}, "played by human: 0 turns of 0 episodes"),
        (("oracle",), {"since": datetime.now(UTC) + timedelta(days=1)}, "Loosen that filter"),
        (("other",), {}, "The episodes are of arena/GuessNumber-v0; name that one with --env"),
    ],
)
def test_a_filter_that_leaves_nothing_is_named(runs, names, options, reason):
    with pytest.raises(UsageError, match="Nothing is left") as told:
        data(runs, *names, **options)
    assert reason in str(told.value)


def test_another_version_of_the_environment_is_refused(runs):
    with pytest.raises(UsageError, match=r"The episodes are of arena/KeyDoor-v0: what was learned there need not hold"):
        read_data(DataOptions(runs=(str(runs["oracle"]),)), ("arena/KeyDoor-v7",))


def test_data_without_differences_teaches_no_comparison(runs):
    with pytest.raises(UsageError, match="no rewards at all"):
        require_rewards(data(runs, "idle").returns, "awr")
    with pytest.raises(UsageError, match="the same return"):
        require_rewards(data(runs, "oracle").returns, "awr")
    require_rewards(data(runs, "oracle", "random").returns, "awr")


def test_records_damaged_in_the_middle_cost_those_episodes_alone(runs, tmp_path: Path):
    evaluate(ENV, "oracle", tasks=12, out=tmp_path / "hurt")
    shard = next((tmp_path / "hurt" / "episodes").iterdir())
    content = bytearray(shard.read_bytes())
    place = open_run(tmp_path / "hurt").rows()[5]
    content[place.offset + place.length // 2] ^= 0xFF
    shard.write_bytes(bytes(content))
    found = read_data(DataOptions(runs=(str(tmp_path / "hurt"),)), (ENV,))
    assert len(list(found.episodes())) == 11
    assert len(found.damaged) == 1
    assert str(place.offset) in found.damaged[0]


def test_a_folder_that_is_no_run_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=str(tmp_path)):
        read_data(DataOptions(runs=(str(tmp_path),)), (ENV,))


TRAIN = ("train", "bc", "--env", ENV, "-a", "chat:window=0,max_tokens=4", "--steps", 1, "--set", "eval_every=0")


def test_the_command_line_learns_from_runs_and_says_what_each_filter_left(runs, tiny_model, tmp_path, capsys):
    words = [*TRAIN, "-m", tiny_model, "-o", tmp_path / "bc", "--data", runs["oracle"], runs["random"]]
    assert arena([str(word) for word in (*words, "--set", "data.success=true", "--set", "minibatches=1")]) == 0
    said = capsys.readouterr().err
    assert "2 run(s): " in said
    assert "successful: " in said
    config = open_run(tmp_path / "bc").config["train"]["data"]
    assert config == {"runs": [str(runs["oracle"]), str(runs["random"])], "success": True, "outcomes": []}


def test_data_that_cannot_be_learned_from_is_refused_before_anything_is_written(runs, tiny_model, tmp_path, capsys):
    words = [*TRAIN, "-m", tiny_model, "-o", tmp_path / "bc"]
    for more, reason in (
        (["--data", runs["other"]], "name that one with --env"),
        (["--data", tmp_path], "no run"),
        ([runs["oracle"]], "runs to learn from are named after --data"),
        (["--data", runs["oracle"], "--set", "data.succes=true"], "did you mean 'success'"),
    ):
        assert arena([str(word) for word in (*words, *more)]) == 2
        assert reason in capsys.readouterr().err
        assert not (tmp_path / "bc").exists()
