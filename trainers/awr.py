"""Advantage-weighted regression: imitate recorded turns, the more the better they went than expected.

    A_t = G_t - V(s_t)        L = -mean of min(exp(A_t / temperature), most) log pi(a_t | s_t) + mean of (V - G)^2 / 2

    arena train awr --env arena/KeyDoor-v0 --model runs/cloned/model --data runs/mixed --steps 30

AWR: Peng et al. 2019 (arXiv 1910.00177). Every turn has one advantage, shared by its tokens: G is the
discounted return from the turn on, V is read where its prompt ends. The weights say how far the policy
may leave what was recorded: a low temperature copies the best turns, a high one all of them.

Deviations: returns are Monte Carlo (the paper's TD(lambda) with lambda = 1); a truncated episode is worth V
of its last observation after its end. With `normalise` the advantages of a step are divided by their standard
deviation, so that one temperature fits rewards of any size; the paper's own code does the same. In the first
`critic_warmup` steps V is fitted and the policy stays as it is, since V = 0 everywhere weighs by return alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.trainers._critic import Fit, Fitting
from arena.trainers._options import Options
from arena.trainers._recorded import read_recorded
from arena.trainers._returns import discounted_returns

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What advantage-weighted regression can be told."""

    batch: int = 64
    """Recorded episodes of a step."""
    gamma: float = 1.0
    """Discount per turn."""
    temperature: float = 1.0
    """A turn that went better by so much weighs e times as much."""
    normalise: bool = True
    """Divide the advantages of a step by their standard deviation."""
    most: float = 20.0
    """The largest weight."""
    value_coefficient: float = 1.0
    """The value loss counts this much."""
    critic: str = "copy"
    """`copy`, `shared`, `head`, `small[:…]` or a folder."""
    critic_rate: float | None = None
    """Learning rate of what only the critic has; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    critic_warmup: int = 2
    """In so many first steps the critic is fitted and the policy stays as it is."""


def weights(returns: Floats, value: Floats, config: Config) -> Floats:
    """What each turn weighs, from its return and its value; NaN where it has no value (T each)."""
    advantage = returns - value
    known = advantage[np.isfinite(advantage)]
    spread = float(known.std()) if len(known) else 0.0
    # Equal advantages differ by rounding, and divided by that would be anything.
    if config.normalise and spread > 1e-6 * np.abs(known).max(initial=0.0):
        advantage = advantage / spread
    found: Floats = np.exp(np.minimum(advantage / config.temperature, np.log(config.most)))
    return found


def loss(
    logprob: Tensor, weight: Tensor, mask: Tensor, *, tokens: float | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The weighted negative log-probability per token, and the mean weight; tensors are (B, L)."""
    from arena.trainers._losses import aggregate

    return aggregate(-weight * logprob, mask, tokens=tokens), {"weight": aggregate(weight, mask).item()}


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic, which a run keeps besides its policy.

    Raises:
        UsageError: it does not fit the policy.
    """
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._critic_choice import make_critic

    critic, detach = make_critic(config.critic, policy, {"value": HeadOptions()}, seed=training.seed)
    return {"critic": Fit(critic, policy, learning_rate=config.critic_rate, detach=detach)}


def train(training: Training, config: Config) -> None:
    """Draw recorded episodes, weigh their turns, update policy and critic, log, evaluate, save."""
    from arena.trainers._losses import aggregate

    critic: Any = training.parts["critic"]
    data = read_recorded(training)
    table, budget = data.table, training.config.pass_tokens
    critic.measure(discounted_returns(table.reward, table.trajectories, config.gamma))
    for step in training.steps():
        chosen, rows = data.draw(config.batch, step, training.config.seed)
        with training.timed("values"):
            before = critic.before(rows, len(data.turn_of_token), budget)
            value = before[table.token_offsets[:-1]]
            end = data.after(critic, chosen, budget, "value")
        returns = discounted_returns(table.reward, table.trajectories, config.gamma, end)
        columns = {
            "values": critic.in_unit(data.at_first(value, rows)),
            "returns": critic.in_unit(data.at_first(returns, rows)),
        }
        credit = data.on_tokens(weights(returns, value, config))
        fitting = Fitting(critic, columns, frozen=step <= config.critic_warmup)
        with training.updating(step, data.episodes, credit, rows=rows, fitting=fitting, demonstrated=True) as update:
            for batch in update.batches():
                logprob = update.logprobs(batch)
                total, metrics = loss(logprob, batch.advantage, batch.mask, tokens=batch.tokens)
                target = batch.columns["returns"]
                error = 0.5 * (update.values(batch) - target.nan_to_num()).square()
                fitted = aggregate(error, target.isfinite(), tokens=batch.counts["returns"])
                total = total + config.value_coefficient * fitted
                shown = fitted.item() * batch.weight
                update.backward(batch, logprob, total, {**metrics, "value_loss": shown})
        training.finish(step)
