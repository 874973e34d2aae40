"""Tables by hand and from episodes: what a column says is what happened."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from arena.core.episode import Call, Conclusion, Episode, Ids, Key, TaskRecord, TextPart, Turn
from arena.core.errors import UsageError
from arena.core.messages import Usage
from arena.core.outcome import Outcome
from arena.trainers import TurnTable, observation_texts, ppo, rloo
from arena.trainers._table import PRODUCERS

NAN = float("nan")


def turn(index, text="s", action="a", *, player="agent", **fields):
    return Turn(index=index, player=player, observation=(TextPart(text=text),), action=action, **fields)


def call(prompt, sampled, logprobs=None, **fields):
    return Call(model="m", prompt=(), prompt_ids=Ids(new=prompt), token_ids=sampled, logprobs=logprobs, **fields)


def episode(*turns, outcome=Outcome.SUCCESS, repeat=0, seed=7, **fields):
    fields.setdefault("agents", {"agent": "chat"})
    task = TaskRecord(env="arena/X-v0", seed=seed)
    return Episode(
        key=Key(task=f"X-{seed}", repeat=repeat), task=task, seed=repeat, turns=turns, outcome=outcome, **fields
    )


def test_three_lines_by_hand():
    table = TurnTable.of(group=["g", "g", "g"], episode=["a", "a", "b"], reward=[0.0, 1.0, 0.0])
    assert rloo.advantages(table, rloo.Config()).tolist() == [1.0, 1.0, -1.0]
    assert (table.turn.tolist(), table.terminated.tolist()) == ([0, 1, 0], [False, True, True])
    assert len(set(table.state.tolist())) == 3


def test_groups_are_one_task_and_seed():
    """Another seed would be another task, and comparing with it would reward luck."""
    table = TurnTable.from_episodes([episode(turn(0), seed=s, repeat=r) for s, r in ((1, 0), (1, 1), (2, 0))])
    first, same, other = table.group.tolist()
    assert first == same != other


def test_states_by_observation_or_by_key():
    turns = (turn(0, "left", state_key="1"), turn(1, "right", state_key="1"), turn(2, "left"))
    by_text = TurnTable.from_episodes([episode(*turns)]).state.tolist()
    by_key = TurnTable.from_episodes([episode(*turns)], group_by="state").state.tolist()
    assert by_text[0] == by_text[2] != by_text[1]
    assert by_key[0] == by_key[1] != by_key[2]
    assert by_key[2] == by_text[2], "without a key the observation identifies the state"


def test_codes_are_the_same_in_every_process():
    """A checkpoint or another rank would group differently."""
    code = "from arena.trainers import TurnTable; t=TurnTable.of(episode=[0],reward=[0],group=['g'],state=['s']);"
    done = subprocess.run(
        [sys.executable, "-c", code + "print(t.group[0], t.state[0])"], capture_output=True, text=True, check=True
    )
    table = TurnTable.of(episode=[0], reward=[0], group=["g"], state=["s"])
    assert done.stdout.split() == [str(table.group[0]), str(table.state[0])]


def test_tokens_keep_their_producers():
    """A forced turn is a demonstrator's, rejected and auxiliary calls do not train, the reward is on the last token."""
    turns = (
        turn(0, forced=True, calls=(call((1, 2), (3,), (-0.1,)),), reward=0.5),
        turn(
            1,
            calls=(
                call((4,), (5, 6), (-0.2, -0.3), role="rejected"),
                call((4,), (7, 8), (-0.4, -0.5)),
                call((9,), (9,), (-0.9,), role="auxiliary"),
            ),
            reward=1.0,
        ),
    )
    table = TurnTable.from_episodes([episode(*turns)])
    producers = [PRODUCERS[code] for code in table.token_producer]
    assert producers == ["environment", "environment", "demonstrator", "environment", "policy", "policy"]
    np.testing.assert_equal(table.token_logprob, [NAN, NAN, -0.1, NAN, -0.4, -0.5])
    assert table.token_reward.tolist() == [0, 0, 0.5, 0, 0, 1.0]
    assert table.token_offsets.tolist() == [0, 3, 6]
    assert table.tokens.tolist() == [0, 2]
    assert table.sampled.reward.tolist() == [0.0, 1.0], "what a demonstrator earned is not the policy's"


def test_a_turn_without_tokens_keeps_its_reward_in_its_episode():
    """It would reach the last token of the episode before."""
    table = TurnTable.of(episode=[0, 1, 1, 1], reward=[1.0, 2.0, 4.0, 8.0], tokens=[1, 0, 1, 0])
    assert table.token_reward.tolist() == [1.0, 12.0]


def test_without_ids_the_usage_counts_tokens():
    made = Call(model="m", prompt=(), usage=Usage(output=12))
    table = TurnTable.from_episodes([episode(turn(0, calls=(made,)))])
    assert table.tokens.tolist() == [12]
    assert len(table.token_producer) == 0


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (Outcome.TRUNCATED, "truncated"),
        (Outcome.FAILURE, "terminated"),
        (Outcome.AGENT_ERROR, "terminated"),
    ],
)
def test_a_limit_truncates_and_everything_else_ends(outcome, end):
    table = TurnTable.from_episodes([episode(turn(0), turn(1), outcome=outcome)])
    assert table.terminated.tolist() == [False, end == "terminated"]
    assert table.truncated.tolist() == [False, end == "truncated"]


def test_unscored_episodes_keep_their_rows():
    table = TurnTable.from_episodes(
        [episode(turn(0)), episode(turn(0), turn(1), outcome=Outcome.INFRASTRUCTURE_ERROR, repeat=1)]
    )
    assert table.scored.tolist() == [True, False, False]


def test_the_conclusions_reward_joins_the_last_turn():
    made = episode(
        turn(0, reward=1.0), turn(1), outcome=Outcome.TRUNCATED, conclusion=Conclusion(reason="turns", reward=2.0)
    )
    table = TurnTable.from_episodes([made])
    assert table.reward.tolist() == [1.0, 2.0]
    assert table.trajectory_return.tolist() == [made.total_reward]


def test_players_are_trajectories_of_their_own():
    """A move is paid for by what its player earns until it moves again, whoever moves in between."""
    turns = (
        turn(0, player="x", reward=0.0, rewards={"x": 0.0, "o": 0.0}),
        turn(1, player="o", reward=-1.0, rewards={"x": -1.0, "o": 1.0}),
        turn(2, player="x", reward=3.0, rewards={"x": 3.0, "o": -2.0}, terminated=True),
    )
    made = episode(*turns, briefs={"x": {}, "o": {}}, agents={"x": "chat", "o": "chat"})
    table = TurnTable.from_episodes([made])
    assert table.turn.tolist() == [0, 2, 1]
    assert table.reward.tolist() == [-1.0, 3.0, -1.0]
    assert table.terminated.tolist() == [False, True, True]
    assert table.group[0] == table.group[1] != table.group[2]
    assert table.trajectory_return.tolist() == [2.0, -1.0]


def test_episodes_without_turns_leave_no_row():
    table = TurnTable.from_episodes([episode(), episode(turn(0))])
    assert table.episode.tolist() == [1]
    assert observation_texts([episode(), episode(turn(0, "here"))]) == ["here"]


def test_an_empty_table_is_a_table():
    table = TurnTable.from_episodes([])
    assert rloo.advantages(table, rloo.Config()).tolist() == []


def test_with_values_bootstraps_only_where_truncated():
    table = TurnTable.of(episode=[0, 1], reward=[0.0, 0.0], truncated=[True, False])
    table = table.with_values(np.zeros(2), np.array([5.0, 5.0]))
    assert table.bootstrap.tolist() == [5.0, 0.0]


def test_truncation_without_a_value_bootstraps_nothing():
    table = TurnTable.of(episode=[0], reward=[1.0], truncated=[True], value=[0.0])
    assert ppo.advantages(table, ppo.Config(whiten=False))[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"episode": [0, 1, 0], "reward": [0, 0, 0]}, "row 2 is out of order"),
        ({"episode": [0, 0], "reward": [0, 0], "turn": [1, 1]}, "row 1 is out of order"),
        ({"episode": [0, 0], "reward": [0]}, "expected 1"),
        ({"episode": [0], "reward": [0], "valids": [True]}, "Did you mean 'valid'"),
        ({"episode": [0], "reward": [float("inf")]}, "not finite"),
        ({"episode": [0], "reward": [0], "token_offsets": [0, 3], "token_producer": ["policy"]}, "token_offsets"),
        ({"episode": [0], "reward": [0], "token_producer": ["policy"]}, "needs token_offsets"),
    ],
)
def test_what_does_not_fit_is_refused(columns, message):
    with pytest.raises(UsageError, match=message):
        TurnTable.of(**columns)


def test_ppo_without_a_critic_says_so():
    with pytest.raises(UsageError, match="'value'"):
        ppo.advantages(TurnTable.of(episode=[0], reward=[0.0]), ppo.Config())


def test_credit_loads_no_torch():
    """Whoever only wants advantages would wait seconds for it, or could not import at all."""
    code = "import sys, arena.trainers; print([m for m in ('torch', 'transformers', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
