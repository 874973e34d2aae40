"""The best-of-n agent: a model proposes several actions, and a critic chooses among them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from arena.agents._build import spec_of
from arena.agents._dialogue import Dialogue, ModelOptions
from arena.agents._history import Request
from arena.agents._replies import PlainReplies
from arena.core.agent import Action, Brief
from arena.core.errors import MissingPrerequisite, UsageError
from arena.core.messages import Completion
from arena.core.model import conversation
from arena.core.observation import Observation

if TYPE_CHECKING:
    from arena.agents.models.critic_scores import CriticScores

_SHOWN = 40
"""Characters of an action in a note."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BestOfNAgent(ModelOptions):
    """Asks the model `n` times and plays the action that the critic scores highest (see `critic_scores`).

    The model may be local or remote: the critic reads the conversation and the actions with its own tokenizer.
    Equal actions are scored once, and of actions that tie the one proposed first is played; a note says so, and
    what the critic thought of each. The answers that were not played are recorded as rejected calls. The other
    options are those of `ModelOptions`, as for `chat`.

    Attributes:
        n: candidates of a turn.
        critic: a training run, or a critic's folder; `arena eval --critic` fills it in.
        likelihood: how much an answer's log-probability counts beside its action's score (the re-ranking of
            ILQL). The model has to give log-probabilities: local ones do, remote ones with logprobs=true.

    Raises:
        UsageError: no critic, one that says nothing of answers, fewer than one candidate, or tools.
    """

    system: str = "chat.j2"
    n: int = 8
    critic: str = ""
    likelihood: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"n is how many candidates there are, at least 1, not {self.n}.")
        if not self.critic:
            raise UsageError("best_of_n needs a critic: arena eval … --critic RUN, or -a best_of_n:critic=RUN.")
        if self.tools:
            raise UsageError("best_of_n compares actions as text: leave tools=true out.")
        super().__post_init__()

    @property
    def spec(self) -> str:
        """Rebuilds this agent, given the model."""
        return spec_of("best_of_n", self)

    @cached_property
    def prompt_hash(self) -> str:
        """Names the templates and the critic's weights, none of which may change when a run is resumed."""
        return hashlib.sha256(f"{self._templates_hash()} {self.scores.identity}".encode()).hexdigest()[:16]

    @cached_property
    def scores(self) -> CriticScores:
        """What the critic says of answers; loaded once."""
        try:
            from arena.agents.models.critic_scores import CriticScores
        except ModuleNotFoundError as error:
            what = f"A critic needs {error.name}, which this Python does not have."
            raise MissingPrerequisite(what, 'pip install "arena-gym[train]"') from error
        return CriticScores.load(self.critic)

    def start(self, brief: Brief, seed: int) -> Dialogue:
        """Begin an episode. The model's sampling is the only randomness, and the engine seeds that."""
        choosing = partial(BestOfN, scores=self.scores, n=self.n, likelihood=self.likelihood)
        return self.dialogue(brief, PlainReplies(), make=choosing)


class BestOfN(Dialogue):
    """One episode in which each turn's action is chosen among several."""

    def __init__(self, *told: object, scores: CriticScores, n: int, likelihood: float, **more: object) -> None:
        super().__init__(*told, **more)  # type: ignore[arg-type]
        self._scores, self._n, self._likelihood = scores, n, likelihood

    async def act(self, observation: Observation) -> Action:
        """Ask for candidates, play the best.

        Raises:
            ContextOverflow, ModelUnavailable, UsageError: from the model; a request that fails ends the others.
        """
        request = self._history.ask(observation)
        candidates = await self._candidates(request)
        actions = [self._replies.read(candidate).action for candidate in candidates]
        worth = await self._worth(request, actions, candidates)
        best = max(range(len(candidates)), key=lambda number: (worth[number], -number))
        self._history.answered(observation, candidates[best], actions[best])
        self._turn += 1
        rejected = tuple(candidate for number, candidate in enumerate(candidates) if number != best)
        return Action(actions[best], rejected=rejected, notes=(*request.notes, _told(actions, worth, best)))

    async def _candidates(self, request: Request) -> list[Completion]:
        """The answers, in the order they were asked for."""
        asked = [
            asyncio.ensure_future(self._model.complete(request.messages, self._sampling, (), request.after))
            for _ in range(self._n)
        ]
        try:
            return list(await asyncio.gather(*asked))
        finally:
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _worth(self, request: Request, actions: Sequence[str], candidates: Sequence[Completion]) -> list[float]:
        """What each candidate is worth."""
        distinct = list(dict.fromkeys(actions))
        said = [self._replies.write(action, self._turn).text for action in distinct]
        messages = conversation(request.messages, request.after)
        scores = dict(zip(distinct, await asyncio.to_thread(self._scores.scores, messages, said), strict=True))
        worth = [scores[action] for action in actions]
        if not self._likelihood:
            return worth
        if any(candidate.logprobs is None for candidate in candidates):
            raise UsageError(
                f"{self._model.spec} gives no log-probabilities, so likelihood={self._likelihood:g} has nothing to "
                "weigh: add logprobs=true to the agent, or leave likelihood out."
            )
        likely = [sum(candidate.logprobs or ()) for candidate in candidates]
        return [score + self._likelihood * logprob for score, logprob in zip(worth, likely, strict=True)]


def _told(actions: Sequence[str], worth: Sequence[float], best: int) -> str:
    """What was chosen among what, for the record."""
    found: dict[str, float] = {}
    for action, score in zip(actions, worth, strict=True):
        found[action] = max(score, found.get(action, score))
    ranked = sorted(found.items(), key=lambda entry: -entry[1])
    listed = ", ".join(f"{action[:_SHOWN]!r} {score:.4g}" for action, score in ranked)
    tied = sum(score == worth[best] for score in found.values()) - 1
    return f"best of {len(actions)}: {listed}" + (f" ({tied + 1} tie: the first proposed was played)" if tied else "")
