"""A critic of whole turns, with targets that follow it slowly.

Shapes: B sequences, L tokens of the longest.

A sequence is what the critic is shown, followed by an answer. V is read at the last token of what is shown and Q at
the last token of the answer, in one pass: the trunk is causal, so V knows nothing of the answer, and neither
knows what comes later. The targets are an average of the critic's past weights (Polyak); with a trunk
borrowed from the policy that is an average of the heads alone.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.errors import UsageError
from arena.trainers._batch import parts
from arena.trainers._critic import Fit
from arena.trainers._critic_choice import make_critic

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from arena.agents.models.critic import Critic
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._policy import Policy
    from arena.trainers._segments import Floats, Integers

Sequences = Sequence["NDArray[Any]"]
Places = Sequence["Integers"]


@dataclass(frozen=True)
class Goal:
    """What a head should say.

    Attributes:
        places: for each sequence, the indices of tokens after which the head is read.
        targets: the numbers it should give there.
        expectile: 0.5 is the mean of the targets; above it, targets that lie above the value weigh more, and
            the value rises towards the largest (implicit Q-learning, Kostrikov et al. 2021, equation 5).
    """

    places: Places
    targets: Sequence[Floats]
    expectile: float = 0.5


class TurnCritic:
    """A critic of turns and its targets; a part of a training run (see `_checkpoint.Part`).

    Args:
        fit: the critic and its optimiser.
        tau: how much of the critic's weights the targets take over after each step.
        budget: padded tokens of one forward pass.
    """

    def __init__(self, fit: Fit, *, tau: float, budget: int) -> None:
        self.fit, self.tau, self._budget = fit, tau, budget
        self.target = _follower(fit.critic)

    @classmethod
    def make(
        cls,
        spec: str,
        policy: Policy,
        heads: Mapping[str, HeadOptions],
        *,
        tau: float,
        budget: int,
        learning_rate: float | None,
        seed: int,
        answer_limit: int | None,
    ) -> TurnCritic:
        """One of the user's choice: see `_critic_choice.make_critic`, and `Critic.answer_limit`.

        Raises:
            UsageError: it does not fit the policy, or its gradients would flow into the policy.
        """
        if spec.partition(":")[0] == "shared":
            raise UsageError(
                "This critic is fitted many times between two steps of the policy, so it cannot move the policy's "
                "trunk: take critic=head to read it as it is, or critic=copy or critic=small for one of its own."
            )
        critic, _ = make_critic(spec, policy, heads, seed=seed)
        critic.answer_limit = answer_limit
        return cls(Fit(critic, policy, learning_rate=learning_rate, detach=True), tau=tau, budget=budget)

    def measure(self, returns: Floats) -> None:
        """Take the heads' units from returns, where they have learned nothing yet.

        Raises:
            UsageError: the range of a classifying head does not hold the returns.
        """
        for name, head in self.fit.critic.heads.items():
            self.fit.measure(returns, name)
            self.target.heads[name].unit.copy_(head.unit)

    def values(
        self, sequences: Sequences, places: Mapping[str, Places], *, target: bool = False
    ) -> dict[str, list[Floats]]:
        """What each head says after the tokens at its places of each sequence; ranks share the work.

        Args:
            sequences: token ids, B of them.
            places: head -> for each sequence, indices of its tokens.
            target: ask the targets.
        """
        import torch

        critic, ranks = self.target if target else self.fit.critic, self.fit.policy.ranks
        lengths = np.array([len(ids) for ids in sequences], np.int64)
        own: dict[int, dict[str, Floats]] = {}
        with torch.no_grad():
            for part in parts(np.arange(len(sequences))[ranks.number :: ranks.size], lengths, self._budget):
                chosen = {name: [some[number] for number in part] for name, some in places.items()}
                scores = self._scores(critic, [sequences[number] for number in part], chosen)
                for name, found in scores.items():
                    head: Any = critic.heads[name]
                    numbers = head.value(found).double().cpu().numpy()
                    cuts = np.cumsum([len(some) for some in chosen[name]])[:-1]
                    for number, some in zip(part.tolist(), np.split(numbers, cuts), strict=True):
                        own.setdefault(number, {})[name] = some
        every = {number: found for share in ranks.exchange(own) for number, found in share.items()}
        return {name: [every[number][name] for number in range(len(sequences))] for name in places}

    def step(self, sequences: Sequences, goals: Mapping[str, Goal]) -> dict[str, float]:
        """Make a step towards the goals of the heads, all weighing the same; returns each head's mean loss.

        The loss is a mean over all places of the whole batch, however it is cut into passes and among ranks.
        The targets follow.
        """
        critic, ranks = self.fit.critic, self.fit.policy.ranks
        lengths = np.array([len(ids) for ids in sequences], np.int64)
        counts = {name: sum(map(len, goal.places)) for name, goal in goals.items()}
        sums = dict.fromkeys(goals, 0.0)
        order = np.argsort(lengths, kind="stable")
        for part in parts(order[ranks.number :: ranks.size], lengths, self._budget):
            chosen = {name: [goal.places[number] for number in part] for name, goal in goals.items()}
            scores = self._scores(critic, [sequences[number] for number in part], chosen)
            losses = {
                name: self._loss(name, found, goals[name], part) / max(counts[name], 1)
                for name, found in scores.items()
            }
            total: Any = sum(losses.values())
            total.backward()
            self.fit.accumulate()
            for name, loss in losses.items():
                sums[name] += float(loss.detach())
        norm = self.fit.step(1.0)
        if not np.isfinite(norm):
            raise UsageError(
                "The critic's loss is not a number, so it was left as it is: give it a lower settings.critic_rate."
            )
        self.follow()
        shares = ranks.exchange(sums)
        return {name: sum(share[name] for share in shares) for name in goals} | {"norm": norm}

    def follow(self) -> None:
        """Let the targets take over a share `tau` of the critic's weights."""
        import torch

        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.fit.critic.parameters(), strict=True):
                slow.lerp_(fast.to(slow.dtype), self.tau)

    def save(self, folder: Path) -> None:
        """The critic, its optimiser and the targets."""
        self.fit.save(folder)
        self.target.save(folder / "target", tokenizer=self.fit.policy.tokenizer)

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        from arena.agents.models.critic import Critic

        self.fit.restore(folder)
        policy = self.fit.policy
        saved = Critic.load(folder / "target", device=str(policy.device), dtype="float32", network=policy.network)
        self.target.load_state_dict(saved.state_dict())

    def publish(self, folder: Path) -> None:
        """A critic that stands alone."""
        self.fit.publish(folder)

    def _loss(self, name: str, scores: Tensor, goal: Goal, part: Integers) -> Tensor:
        """The summed loss of a head over some sequences' places."""
        import torch

        head: Any = self.fit.critic.heads[name]
        numbers = np.concatenate([goal.targets[number] for number in part])
        target = torch.from_numpy(numbers).to(scores.device, torch.float32)
        loss: Tensor = head.loss(scores, target)
        if goal.expectile != 0.5:
            below = (target < head.value(scores)).to(loss.dtype).detach()
            loss = 2 * (goal.expectile - below).abs() * loss
        return loss.sum()

    def _scores(self, critic: Critic, sequences: Sequences, places: Mapping[str, Places]) -> dict[str, Tensor]:
        """The scores of each head at its places, one sequence's after the other's."""
        import torch

        from arena.agents.models.critic import hidden_states, trunk_of

        policy = self.fit.policy
        shape = (len(sequences), max(map(len, sequences)))
        ids = torch.full(shape, policy.tokenizer.pad_token_id or 0)
        attention = torch.zeros(shape, dtype=torch.long)
        for row, one in enumerate(sequences):
            ids[row, : len(one)], attention[row, : len(one)] = torch.from_numpy(np.asarray(one, np.int64)), 1
        ids, attention = ids.to(policy.device), attention.to(policy.device)
        borrowed = critic.trunk is None
        trunk = trunk_of(policy.network) if borrowed else critic.trunk
        with torch.no_grad() if borrowed else contextlib.nullcontext():
            hidden = hidden_states(trunk, ids, attention)
        found = {}
        for name, some in places.items():
            rows = np.repeat(np.arange(len(some)), [len(one) for one in some])
            found[name] = critic.heads[name](hidden[rows, np.concatenate(some)])
        return found


def _follower(critic: Critic) -> Critic:
    """A copy that is not trained, in float32, so that small shares are not lost in rounding."""
    follower: Critic = copy.deepcopy(critic).float()
    follower.requires_grad_(False)
    return follower


__all__ = ["Goal", "TurnCritic"]
