"""A critic beside a model: what it does to the tokens, what it says of answers, and what it is refused for."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json

import numpy as np
import pytest
from scripted_server import chat, serving

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.agents import build
from arena.agents.models import build as build_model
from arena.agents.models._weights import load_network, load_tokenizer
from arena.agents.models.critic import Critic, trunk_of
from arena.agents.models.critic_heads import HeadOptions
from arena.agents.models.critic_scores import CriticScores
from arena.agents.models.tiny import build_tiny_model
from arena.cli._app import run as arena
from arena.core.errors import UsageError
from arena.core.messages import Completion, Message, Sampling, TextPart
from arena.core.model import Traits, conversation
from arena.evaluation import evaluate
from arena.records import open_run

ASKED = [Message.of("user", "Where is the key?")]


def make_critic(tiny_model, folder, spread=0.3, answer_limit=None, **heads):
    """A critic on a copy of the tiny model's trunk, its heads drawn at random so that it has opinions."""
    network, tokenizer = load_network(tiny_model, "cpu", torch.float32), load_tokenizer(tiny_model)
    width = network.get_output_embeddings().weight.shape[0]
    options = {name: HeadOptions(outputs=width if outputs else 1, layers=1) for name, outputs in heads.items()}
    critic = Critic.on(copy.deepcopy(trunk_of(network)), tokenizer, options, seed=3)
    generator = torch.Generator().manual_seed(5)
    for head in critic.heads.values():
        head.last.weight.data.normal_(0.0, spread, generator=generator)
    critic.answer_limit = answer_limit
    critic.save(folder / "critic")
    return folder


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """Runs with the critics of ILQL, MC, ArCHer and PPO."""
    folder = tmp_path_factory.mktemp("critics")
    kinds = {
        "ilql": {"q1": True, "q2": True, "v": False},
        "mc": {"q": True},
        "archer": {"q1": False, "q2": False, "v1": False, "v2": False},
        "ppo": {"value": False},
    }
    return {name: make_critic(tiny_model, folder / name, **heads) for name, heads in kinds.items()}


def converse(spec, *, turns=2, **sampling):
    """Two turns of a conversation; their completions."""

    async def go():
        model, found, after = build_model(spec), [], None
        for number in range(turns):
            asked = Sampling(max_tokens=5, seed=number, **sampling)
            after = await model.complete(ASKED, asked, (), after)
            found.append(after)
        await model.aclose()
        return found

    return asyncio.run(go())


def values(run, head, ids):
    """A head's values after each of some ids."""
    critic = Critic.load(run / "critic", device="cpu")
    with torch.no_grad():
        return critic.values(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long), head)[0]


@pytest.mark.parametrize("more", ["", ",deterministic=true"])
@pytest.mark.parametrize("name", ["ilql", "mc"])
def test_tokens_are_drawn_from_the_policy_leaning_to_q(tiny_model, runs, name, more):
    """The log-probabilities are of softmax((log pi + beta min q) / T): over two turns, with cached keys and without."""
    network = load_network(tiny_model, "cpu", torch.float32)
    for completion in converse(f"hf:{tiny_model},critic={runs[name]},beta=3{more}", temperature=0.7):
        ids = [*completion.prompt_ids, *completion.token_ids]
        with torch.no_grad():
            own = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        heads = [values(runs[name], head, ids) for head in ("q1", "q2", "q") if head in critic_heads(runs[name])]
        whole = ((own + 3 * torch.stack(heads).amin(0)) / 0.7).log_softmax(-1)
        places = torch.arange(len(completion.prompt_ids), len(ids))
        expected = whole[places - 1, torch.tensor(completion.token_ids)]
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)
        assert completion.logprob_kind == "sampled"


def critic_heads(run):
    return json.loads((run / "critic" / "config.json").read_text())["heads"]


def test_beta_0_is_the_policy_and_the_critic_is_part_of_the_model(tiny_model, runs):
    plain, guided = (converse(f"hf:{tiny_model}{more}") for more in ("", f",critic={runs['mc']},beta=0"))
    assert [one.token_ids for one in plain] == [one.token_ids for one in guided]
    names = [f"hf:{tiny_model}", *(f"hf:{tiny_model},critic={runs[name]}" for name in ("mc", "ilql"))]
    assert len({build_model(name).traits.identity for name in names}) == 3


def test_answers_are_scored_as_defined(runs):
    """By the ids of the whole conversation: Q at the end of an answer, or the sum over its tokens."""
    answers = ["north", "open the door"]
    for name in ("archer", "ilql", "mc"):
        judge = CriticScores.load(str(runs[name]), device="cpu")
        prompt = judge._encoder.encode(ASKED, (), None).ids
        for answer, score in zip(answers, judge.scores(ASKED, answers), strict=True):
            said = (*judge.critic.tokenizer.encode(answer, add_special_tokens=False), judge._end)
            ids, start = [*prompt, *said], len(prompt)
            read = {head: values(runs[name], head, ids) for head in judge.critic.heads}
            if name == "archer":
                expected = min(read[q][-1] for q in ("q1", "q2")) - min(read[v][start - 1] for v in ("v1", "v2"))
            elif name == "mc":
                expected = read["q"][len(ids) - 2, said[-1]]
            else:
                steps = range(start - 1, len(ids) - 1)
                q = torch.minimum(read["q1"], read["q2"])
                expected = sum(q[k, token] - read["v"][k] for k, token in zip(steps, said, strict=True))
            assert score == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("name", ["archer", "ilql", "mc"])
def test_an_answer_that_the_limit_ends_is_scored_without_the_end_of_the_turn(tiny_model, tmp_path, name):
    """The critic never met that end behind such an answer, so what it says there is no more than noise."""
    shapes = {
        "ilql": {"q1": True, "q2": True, "v": False},
        "mc": {"q": True},
        "archer": {"q1": False, "q2": False, "v1": False, "v2": False},
    }
    run = make_critic(tiny_model, tmp_path, answer_limit=2, **shapes[name])
    judge = CriticScores.load(str(run), device="cpu")
    ids = judge.critic.tokenizer.encode("north open door", add_special_tokens=False)
    short, cut = (judge.critic.tokenizer.decode(ids[:number]) for number in (1, 2))
    assert [judge._whole(judge._ids(text)) for text in (short, cut)] == [[ids[0], judge._end], ids[:2]]
    prompt = judge._encoder.encode(ASKED, (), None).ids
    read = {head: values(run, head, [*prompt, *ids[:2]]) for head in judge.critic.heads}
    before = len(prompt) - 1
    expected = {
        "archer": lambda: min(read[q][-1] for q in ("q1", "q2")) - min(read[v][before] for v in ("v1", "v2")),
        "mc": lambda: read["q"][before + 1, ids[1]],
        "ilql": lambda: sum(
            min(read[q][before + k, ids[k]] for q in ("q1", "q2")) - read["v"][before + k] for k in (0, 1)
        ),
    }
    assert judge.scores(ASKED, [short, cut])[1] == pytest.approx(float(expected[name]()), abs=1e-4)


def test_a_score_depends_neither_on_the_other_candidates_nor_on_padding(runs):
    for name in ("archer", "ilql"):
        judge = CriticScores.load(str(runs[name]), device="cpu")
        together = judge.scores(ASKED, ["go", "go north and then open the big door", "look"])
        alone = [judge.scores(ASKED, [one])[0] for one in ("go", "go north and then open the big door", "look")]
        np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_long_conversation_loses_its_beginning_before_the_critic(runs):
    judge = CriticScores.load(str(runs["archer"]), device="cpu")
    long = [Message.of("user", "door " * 2 * judge.critic.context), *ASKED]
    assert np.isfinite(judge.scores(long, ["north"])).all()
    with pytest.raises(UsageError, match="limit answers with max_tokens"):
        judge.scores(ASKED, ["door " * 2 * judge.critic.context])


class Says:
    """Says these things, one call after the other, for ever."""

    spec, traits = "says:so", Traits(identity="says")

    def __init__(self, *answers):
        self._said = itertools.cycle(answers)

    async def complete(self, messages, sampling, tools=(), after=None):
        said = Completion(parts=(TextPart(text=next(self._said)),))
        return said.following(conversation(messages, after))

    async def aclose(self):
        pass


def play(folder, critic, *answers):
    """An episode of best_of_n whose model proposes the answers each turn."""
    agent = build(f"best_of_n:n={len(answers)},critic={critic}", Says(*answers))
    (episode,) = evaluate("arena/KeyDoor-v0", agent, tasks=1, max_turns=2, out=folder).run.episodes()
    return episode


@pytest.mark.parametrize("name", ["archer", "ilql"])
def test_the_critic_chooses_and_the_record_keeps_what_was_not_played(runs, tmp_path, name):
    answers, judge = ("go north", "go south", "look"), CriticScores.load(str(runs[name]))
    episode = play(tmp_path / "run", runs[name], *answers)
    for turn in episode.turns:
        scores = judge.scores(episode.prompt(turn.calls[0]), answers)
        best = int(np.argmax(scores))
        assert turn.action == answers[best]
        assert [call.role for call in turn.calls] == ["chosen" if k == best else "rejected" for k in range(3)]
        assert turn.notes[0].startswith(f"best of 3: {answers[best]!r} {scores[best]:.4g}, ")
    # The next turn goes on with the answer that was played.
    assert episode.prompt(episode.turns[1].calls[0])[-2].text == episode.turns[0].action


def test_of_actions_that_tie_the_first_proposed_is_played(tiny_model, tmp_path):
    """A critic that has learned nothing finds all actions equal."""
    make_critic(tiny_model, tmp_path / "new", spread=0.0, q1=False, v1=False)
    episode = play(tmp_path / "run", tmp_path / "new", "go east", "look", "go east")
    assert {turn.action for turn in episode.turns} == {"go east"}
    assert episode.turns[0].notes == ("best of 3: 'go east' 0, 'look' 0 (2 tie: the first proposed was played)",)


TRY = ("eval", "arena/KeyDoor-v0", "-n", "1", "--limit", "turns=2")


def test_the_command_line_chooses_with_a_critic_and_rebuilds_the_agent(tiny_model, runs, tmp_path, capsys):
    words = [
        *TRY,
        "-a",
        "best_of_n:n=2,max_tokens=3",
        "-m",
        tiny_model,
        "--critic",
        runs["archer"],
        "-o",
        tmp_path / "r",
    ]
    assert arena([str(word) for word in words]) == 0
    with open_run(tmp_path / "r") as run:
        (episode,) = run.episodes()
    assert [call.role for call in episode.turns[0].calls].count("rejected") == 1
    assert f"critic={runs['archer']}" in episode.agents["agent"]


def test_a_remote_models_answers_are_chosen_among(runs, tmp_path, capsys):
    """The critic reads text, so it needs no tokens of the model's; a server that is asked once gives no choice."""
    answers, judge = ("go north", "go south", "look"), CriticScores.load(str(runs["archer"]))
    with serving(*(chat(answer) for answer in 2 * answers)) as server:
        words = [*TRY, "-a", "best_of_n:n=3", "-m", f"openai:m@{server.url}/v1", "--critic", runs["archer"]]
        assert arena([str(word) for word in [*words, "-o", tmp_path / "r"]]) == 0, capsys.readouterr().err
        assert len(server.requests) == 6
        assert not any("tools" in body for body in server.bodies)
    with open_run(tmp_path / "r") as run:
        (episode,) = run.episodes()
    for turn in episode.turns:
        assert turn.action == answers[int(np.argmax(judge.scores(episode.prompt(turn.calls[0]), answers)))]
        assert sorted(call.role for call in turn.calls) == ["chosen", "rejected", "rejected"]


def test_what_does_not_fit_is_told(tiny_model, runs, tmp_path, capsys):
    other = build_tiny_model(tmp_path / "other", vocabulary=300)
    headless = tmp_path / "unfinished"
    (headless / "checkpoints").mkdir(parents=True)
    best, model = "best_of_n:n=2,max_tokens=3", f"hf:{tiny_model}"
    cases = [
        (best, model, runs["ppo"], "has the heads value: it says what a situation is worth"),
        (best, model, tmp_path / "none", "There is no folder"),
        (best, model, headless, "Its training is not finished: arena train --resume"),
        ("chat", model, runs["archer"], "judges whole answers"),
        ("chat", f"hf:{other}", runs["mc"], "was trained for another tokenizer than this model's"),
        ("chat", "openai:x@http://127.0.0.1:9/v1", runs["mc"], "is not sampled here"),
        ("random", None, runs["mc"], "asks none"),
    ]
    for number, (agent, spec, critic, reason) in enumerate(cases):
        words = [*TRY, "-a", agent, "--critic", critic, "-o", tmp_path / f"run{number}"]
        words += [] if spec is None else ["-m", spec]
        code = arena([str(word) for word in words])
        assert (code != 0, reason in " ".join(capsys.readouterr().err.split())) == (True, True), reason
        assert not (tmp_path / f"run{number}").exists(), "the corrected command finds the folder free"
    for agent, reason in (
        ("best_of_n:n=2", "needs a critic"),
        (f"best_of_n:n=0,critic={runs['mc']}", "at least 1"),
        (f"best_of_n:tools=true,critic={runs['mc']}", "leave tools=true out"),
    ):
        with pytest.raises(UsageError, match=reason):
            build(agent, build_model("scripted:echo"))
