"""What the engine writes down of the models' calls: exact prompts, roles, usage, limits, failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import probes  # noqa: F401  (registers the environments)
import pytest

from arena.agents import build
from arena.agents.models.local import LocalModel
from arena.agents.models.scripted import ScriptedModel
from arena.core.episode import Episode
from arena.core.errors import ContextOverflow, ModelUnavailable, UsageError
from arena.core.messages import Completion, Message, TextPart, Usage
from arena.core.model import Traits
from arena.core.outcome import Outcome
from arena.core.task import Task
from arena.replay import execute_all
from arena.rollout import Budget, Engine, Job, Limits, RecordedModel


class Remembering:
    """A model that keeps every conversation it was asked with."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.asked: list[tuple[Message, ...]] = []
        self.spec, self.traits = model.spec, model.traits

    async def complete(
        self, messages: Any, sampling: Any, tools: Any = (), after: Completion | None = None
    ) -> Completion:
        self.asked.append((*(after.history if after else ()), *messages))
        return await self._model.complete(messages, sampling, tools, after)

    async def aclose(self) -> None:
        await self._model.aclose()


def play(
    agent: str, model: Any, env: str = "arena/GuessNumber-v0", turns: int = 6, n: int = 1, **options: Any
) -> list[Episode]:
    episodes: list[Episode] = []
    agents = {"agent": build(agent, RecordedModel(model))}
    jobs = [Job(Task(env, seed, {}, None, turns)) for seed in range(n)]
    asyncio.run(Engine(agents, on_episode=episodes.append, **{"retries": 0, **options}).run(jobs))
    return sorted(episodes, key=lambda episode: episode.task.seed)


@pytest.mark.parametrize("agent", ["chat", "chat:window=2", "react", "react:window=1"])
def test_the_record_gives_back_every_prompt_exactly(agent):
    """A trainer or a reader would see another conversation than the model did."""
    model = Remembering(ScriptedModel(["1", "2", "oops", "Thought: low.\nAction: 3", "Action: 4", "5"]))
    [episode] = play(agent, model)
    assert [episode.prompt(call) for call in episode.calls] == model.asked
    assert Episode.model_validate_json(episode.model_dump_json()) == episode


def test_malformed_replies_are_recorded_as_rejected():
    [episode] = play("react", ScriptedModel(["hm", "Thought: go.\nAction: 7"]), turns=1)
    assert [call.role for call in episode.turns[0].calls] == ["rejected", "chosen"]
    assert episode.turns[0].action == "7"


class Paid(ScriptedModel):
    """Costs money, and gives other episodes their turn before it answers."""

    def __init__(self, cost: float | None = 0.25) -> None:
        super().__init__(["1"])
        self.traits = Traits(identity="paid", priced=True)
        self._cost = cost

    async def complete(self, messages, sampling, tools=(), after=None):
        await asyncio.sleep(0)
        answer = await super().complete(messages, sampling, tools, after)
        return answer.model_copy(update={"cost": self._cost}).following(answer.history[:-1])


def costing(messages: Sequence[Message]) -> Completion:
    return Completion(parts=(TextPart(text="1"),), usage=Usage(input=90, output=10), cost=0.25)


@pytest.mark.parametrize(("limits", "name"), [(Limits(tokens=250), "tokens"), (Limits(cost=0.6), "cost")])
def test_token_and_cost_limits_truncate_by_name(limits, name):
    [episode] = play("chat", ScriptedModel(costing), limits=limits)
    assert (episode.outcome, episode.limit) == (Outcome.TRUNCATED, name)
    assert len(episode.turns) == 3
    assert (episode.usage.total, episode.cost) == (300, 0.75)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_run_overspends_its_budget_by_the_requests_in_flight_at_most(concurrency):
    """Whole episodes in flight would be paid for, and a resumed run would spend its budget again."""
    budget = Budget(2.1)
    episodes = play("chat", Paid(), turns=4, n=20, concurrency=concurrency, budget=budget)
    assert 2.1 <= budget.spent == sum(episode.cost for episode in episodes) < 2.1 + 0.25 * concurrency
    assert all(e.outcome is Outcome.CANCELLED for e in episodes if len(e.turns) < 4)
    assert play("chat", Paid(), turns=4, n=20, budget=Budget(2.1, spent=budget.spent)) == []


def test_a_budget_is_refused_where_the_price_is_not_known():
    with pytest.raises(UsageError, match="price"):
        play("chat", Paid(None), budget=Budget(1.0))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ModelUnavailable("no answer"), Outcome.INFRASTRUCTURE_ERROR),
        (ContextOverflow("too long"), Outcome.TRUNCATED),
    ],
)
def test_what_a_model_cannot_do_is_told_apart(error, outcome):
    def fail(messages: Sequence[Message]) -> str:
        if len(messages) > 3:
            raise error
        return "1"

    [episode] = play("chat", ScriptedModel(fail))
    assert episode.outcome is outcome
    assert episode.limit == ("context" if outcome is Outcome.TRUNCATED else None)
    assert len(episode.turns) == 1
    [failed] = episode.unfinished_calls
    assert str(error) in failed.error
    assert failed.message is None


def test_a_refused_request_stops_the_run():
    def fail(messages: Sequence[Message]) -> str:
        raise UsageError("no such model")

    with pytest.raises(UsageError, match="no such model"):
        play("chat", ScriptedModel(fail), n=3)


def test_images_reach_a_model_that_takes_them_and_are_noted_for_one_that_does_not():
    seeing = Remembering(ScriptedModel(["1 1"]))
    [episode] = play("chat", seeing, "arena/LightsOut-v0", turns=2)
    assert any(part.type == "image" for part in seeing.asked[0][-1].parts)
    shown = next(part for part in episode.turns[0].observation if part.type == "image")
    assert shown in episode.prompt(episode.calls[0])[-1].parts


@pytest.mark.parametrize("agent", ["chat:max_tokens=6", "chat:max_tokens=6,window=1"])
def test_a_deterministic_local_model_does_not_depend_on_concurrency(tiny_model, agent):
    """Episodes would change with what happened to run beside them."""

    def tokens(concurrency: int) -> list[list[Any]]:
        model = LocalModel.from_spec(_spec(f"hf:{tiny_model},deterministic=true"))
        episodes = play(agent, model, turns=3, n=4, concurrency=concurrency)
        asyncio.run(model.aclose())
        return [[call.token_ids for call in episode.calls] for episode in episodes]

    alone = tokens(1)
    assert alone == tokens(4)
    assert len({str(episode) for episode in alone}) == 4


def test_the_record_keeps_exact_tokens_in_linear_size(tiny_model):
    model = LocalModel.from_spec(_spec(f"hf:{tiny_model}"))
    [episode] = play("chat:max_tokens=5", model, turns=5)
    asyncio.run(model.aclose())
    for call in episode.calls:
        assert call.prompt_ids is not None
        assert call.logprobs is not None
        assert len(call.logprobs) == len(call.token_ids) > 0
        assert call.logprob_kind == "sampled"
    for earlier, later in zip(episode.calls, episode.calls[1:], strict=False):
        assert episode.ids(later.prompt_ids)[: len(episode.sequence(earlier))] == episode.sequence(earlier)
        assert len(later.prompt_ids.new) < 200


def test_a_simulated_user_is_a_role_recorded_in_its_turn_and_played_back():
    """An environment's own model would be lost from the record, and its episodes could not run again."""
    user = ScriptedModel(["hello", "yes?", "bye"])
    [episode] = play("chat", ScriptedModel(["hi"]), "probe/Chatty-v0", roles={"user": user})
    assert episode.outcome is Outcome.SUCCESS
    assert [call.role for call in episode.turns[1].calls] == ["chosen", "user"]
    [execution] = asyncio.run(execute_all([episode]))
    assert (execution.turns, execution.divergence) == (3, None)
    answer = episode.turns[1].calls[1].message
    changed = tuple(
        message if number != answer else Message.of("assistant", "no!")
        for number, message in enumerate(episode.messages)
    )
    [execution] = asyncio.run(execute_all([episode.model_copy(update={"messages": changed})]))
    assert (execution.divergence.turn, execution.divergence.field) == (1, "text")


def test_an_environment_that_needs_a_model_says_so():
    with pytest.raises(UsageError, match=r"roles\.user=MODEL"):
        play("chat", ScriptedModel(["hi"]), "probe/Chatty-v0")


def _spec(line: str) -> Any:
    from arena.core.specs import Spec

    return Spec.parse(line)
