"""Episodes in the replay buffer: the ids, the rewards, and what follows each turn, through a kill and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from arena.agents import build
from arena.core.errors import UsageError
from arena.evaluation import evaluate
from arena.records import open_run
from arena.trainers import TurnTable
from arena.trainers._policy import Policy
from arena.trainers._ranks import Ranks
from arena.trainers._replay import Replay
from arena.trainers._turn_rows import TurnReader, discounted, with_window

ENV = "arena/KeyDoor-v0"
AGENT = "chat:window=1,max_tokens=8"
GAMMA = 0.5


@pytest.fixture(scope="module")
def policy(tiny_model):
    return Policy.load(tiny_model)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """Three of an oracle, which end, and three of a random agent, which are cut off."""
    found = []
    for agent in ("oracle", "random"):
        folder = tmp_path_factory.mktemp("runs") / agent
        evaluate(ENV, agent, tasks=3, out=folder)
        with open_run(folder) as run:
            found += list(run.episodes())
    assert {episode.outcome for episode in found} == {"success", "truncated"}
    return found


def reader_of(policy, agent=AGENT, critic=None, context=None):
    make = lambda model: build(agent, model)  # noqa: E731
    critic_agent = None if critic is None else (lambda model: build(critic, model))
    return TurnReader(make, policy.model, context or policy.context, critic_agent)


def replay_of(folder, rows):
    replay = Replay()
    replay.open(folder, Ranks())
    replay.add(rows)
    return replay


@pytest.fixture(scope="module")
def rows(policy, episodes):
    return reader_of(policy).rows(episodes, TurnTable.from_episodes(episodes), GAMMA, own=False)


def test_a_turn_says_what_was_shown_and_done_and_what_it_earned(policy, episodes, rows, tmp_path):
    replay = replay_of(tmp_path / "replay", rows)
    found = replay.transitions(np.arange(len(replay)), gamma=GAMMA)
    turns = [(episode, turn) for episode in episodes for turn in episode.turns]
    assert len(replay) == len(turns)
    for place, (episode, turn) in enumerate(turns):
        assert policy.tokenizer.decode(found.answer[place], skip_special_tokens=True) == turn.action
        assert turn.text.strip() in policy.tokenizer.decode(found.prompt[place])
        assert np.isnan(found.logprob[place]).all(), "nobody knows with what probability a demonstrator acts"
        assert found.returns[place] == pytest.approx(
            discounted(np.array([later.reward for later in episode.turns[turn.index :]]), GAMMA)[0]
        )
    assert np.array_equal(found.state[0], found.prompt[0])
    replay.close()


def test_what_follows_a_turn_is_the_next_state_the_final_one_or_nothing(policy, episodes, rows, tmp_path):
    replay = replay_of(tmp_path / "replay", rows)
    found = replay.transitions(np.arange(len(replay)), gamma=GAMMA)
    for place in range(len(found)):
        if not found.last[place]:
            assert np.array_equal(found.after[place], found.state[place + 1])
        elif found.truncated[place]:
            text = "".join(part.text for part in episodes[found.episode[place]].final_observation)
            assert text.strip() in policy.tokenizer.decode(found.after[place])
        else:
            assert len(found.after[place]) == 0
    assert np.array_equal(found.discount, np.where(found.terminated, 0.0, GAMMA))
    theirs = replay.transitions(np.arange(len(replay)), gamma=GAMMA, bootstrap=False)
    assert np.array_equal(theirs.discount, np.where(found.last, 0.0, GAMMA)), "the reference ends where it is cut off"
    replay.close()


def test_several_steps_sum_rewards_up_to_the_end_and_no_further(rows, tmp_path):
    replay = replay_of(tmp_path / "replay", rows)
    every = np.arange(len(replay))
    one, four = (replay.transitions(every, gamma=GAMMA, steps=n) for n in (1, 4))
    for place in every:
        end = place
        while not one.last[end]:
            end += 1
        taken = min(4, end - place + 1)
        assert four.reward[place] == pytest.approx(discounted(one.reward[place : place + taken], GAMMA)[0])
        assert four.discount[place] == (0.0 if one.terminated[place + taken - 1] else GAMMA**taken)
        assert np.array_equal(four.after[place], one.after[place + taken - 1])
    replay.close()


def test_the_critic_may_be_shown_another_window(policy, episodes, tmp_path):
    critic = with_window(AGENT, 3)
    rows = reader_of(policy, critic=critic).rows(episodes, TurnTable.from_episodes(episodes), GAMMA, own=False)
    wider = reader_of(policy, agent=critic).rows(episodes, TurnTable.from_episodes(episodes), GAMMA, own=False)
    for state, prompt in zip(rows.sequences["state"], wider.sequences["prompt"], strict=True):
        assert np.array_equal(state, prompt)
    assert any(len(a) != len(b) for a, b in zip(rows.sequences["state"], rows.sequences["prompt"], strict=True))


def test_later_turns_change_no_state_of_an_earlier_one(policy, episodes):
    """A critic that knew what comes later would be exact and useless."""
    episode = next(one for one in episodes if len(one.turns) > 4)
    backwards = reversed(episode.turns[3:])
    later = [turn.model_copy(update={"index": 3 + number}) for number, turn in enumerate(backwards)]
    shuffled = episode.model_copy(update={"turns": (*episode.turns[:3], *later)})
    both = [
        reader_of(policy).rows([one], TurnTable.from_episodes([one]), GAMMA, own=False) for one in (episode, shuffled)
    ]
    for name in ("prompt", "answer", "state"):
        first, second = (rows.sequences[name] for rows in both)
        assert all(np.array_equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))


def test_a_killed_run_goes_on_with_the_rows_of_its_checkpoint(rows, tmp_path):
    replay = replay_of(tmp_path / "replay", rows)
    replay.save(tmp_path / "checkpoint")
    before = replay.transitions(np.arange(len(replay)), gamma=GAMMA)
    replay.add(rows)
    assert len(replay) == 2 * len(rows)
    replay.close()
    again = Replay()
    again.restore(tmp_path / "checkpoint")
    again.open(tmp_path / "replay", Ranks())
    assert len(again) == len(rows)
    after = again.transitions(np.arange(len(again)), gamma=GAMMA)
    assert np.array_equal(before.reward, after.reward)
    assert all(np.array_equal(a, b) for a, b in zip(before.prompt, after.prompt, strict=True))
    again.close()


def test_a_turn_longer_than_the_encoder_is_named(policy, episodes):
    with pytest.raises(
        UsageError, match=r"Turn 0 of arena/KeyDoor-v0.* the encoder takes 20\. Give the agent a window"
    ):
        reader_of(policy, context=20).rows(episodes, TurnTable.from_episodes(episodes), GAMMA, own=False)
