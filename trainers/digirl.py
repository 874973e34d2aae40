"""DigiRL: two critics filter recorded episodes twice; what is left is imitated.

    which episodes:  the best `keep` of R - V_inst(x), x the task as it is first shown, R = 1[return > 0]
    which turns:     A_t = V(s_{t+1}) - V(s_t) - cost + r_t + G_t,        L = -mean of 1[A_t > 0] log pi(a_t | s_t)

    arena train digirl --env arena/KeyDoor-v0 --model runs/cloned/model --data runs/mixed --steps 30

DigiRL: Bai et al. 2024 (arXiv 2406.11896). Both critics are classifiers fitted by cross entropy: V_inst, the
instruction-level critic, to whether the episode earned anything, read where the task is first shown, and V, the
step-level critic, to the same from each turn. Each has twin heads, the lesser of which counts. The first
filter takes episodes that did well for their task, so that easy tasks do not crowd out hard ones; the second
takes the turns that brought the end nearer. G is the discounted return from the turn on, with a short memory.

Deviations: the reference trains on episodes it has just played, here they are recorded ones; it keeps critics
of RoBERTa, here they are heads on a copy of the policy's trunk (`critic`). In the first `critic_warmup` steps the
critics are fitted and the policy stays as it is. A head has one log-odds, which is what two classes come to. V after
the last turn is 0, and after a truncated episode V of its last observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.errors import UsageError
from arena.trainers._critic import Fit, Fitting
from arena.trainers._options import Options
from arena.trainers._recorded import read_recorded
from arena.trainers._returns import discounted_returns

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._recorded import Recorded
    from arena.trainers._rows import Row
    from arena.trainers._segments import Flags, Floats
    from arena.trainers._training import Training

INSTRUCTION, STEP = ("instruction1", "instruction2"), ("step1", "step2")


@dataclass(frozen=True)
class Config(Options):
    """What DigiRL can be told."""

    batch: int = 128
    """Recorded episodes of a step."""
    keep: float = 0.1
    """Share of them that the instruction-level critic leaves."""
    gamma: float = 0.5
    """Discount per turn of the return in a turn's advantage."""
    cost: float = 0.05
    """What a turn has to bring to count as good."""
    critic: str = "copy"
    """`copy`, `small[:…]` or a folder."""
    critic_rate: float | None = None
    """The critics' learning rate; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    critic_warmup: int = 5
    """In so many first steps the critics are fitted and the policy stays as it is."""


def advantages(reward: Floats, value: Floats, next_value: Floats, returns: Floats, cost: float) -> Floats:
    """A of each turn (T).

    Args:
        reward: of the turn.
        value: V of what it acted on.
        next_value: V of what came of it.
        returns: discounted, from the turn on.
        cost: of a turn.
    """
    return np.asarray(next_value - value - cost + reward + returns, np.float64)


def filtered(succeeded: Flags, value: Floats, keep: float) -> Flags:
    """Which episodes did best for their task: a share with the highest R - V_inst, the earlier of equals (E)."""
    surplus = succeeded - value
    chosen = np.zeros(len(surplus), bool)
    chosen[np.argsort(-surplus, kind="stable")[: max(round(keep * len(surplus)), 1)]] = True
    return chosen


def loss(
    logprob: Tensor, good: Tensor, mask: Tensor, *, tokens: float | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The negative log-probability of the tokens of good turns; tensors are (B, L), `good` 1 or 0."""
    from arena.trainers._losses import aggregate

    return aggregate(-good * logprob, mask, tokens=tokens), {"good": aggregate(good, mask).item()}


def critic_loss(scores: Sequence[Tensor], succeeded: Tensor) -> Tensor:
    """The cross entropy of both classes, summed over heads and M places.

    Args:
        scores: log-odds of success at M places, for each head (M).
        succeeded: 1 or 0 (M).
    """
    import torch

    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    return torch.stack([entropy(each, succeeded, reduction="sum") for each in scores]).sum()


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """Both critics, heads on one trunk, which a run keeps besides its policy.

    Raises:
        UsageError: it does not fit the policy, or has no trunk of its own.
    """
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._critic_choice import make_critic
    from arena.trainers._token_critic import check_own_trunk

    check_own_trunk(config.critic)
    heads = dict.fromkeys((*INSTRUCTION, *STEP), HeadOptions(layers=1))
    critic, _ = make_critic(config.critic, policy, heads, seed=training.seed)
    return {"critic": Fit(critic, policy, learning_rate=config.critic_rate)}


def check_returns(returns: Floats) -> None:
    """Refuse data in which no episode earned anything, or every one did; returns are undiscounted (E).

    Raises:
        UsageError: says what to add.
    """
    succeeded = returns > 0
    if succeeded.all() or not succeeded.any():
        every = "Every" if succeeded.all() else "No"
        raise UsageError(
            f"{every} recorded episode has a return above 0, so digirl's critics have nothing to tell apart. Add "
            "episodes of another agent (arena collect ENV -a oracle:0.5,random:0.5), or imitate: bc."
        )


def train(training: Training, config: Config) -> None:
    """Draw recorded episodes, fit the critics, imitate what they leave of them, log, evaluate, save."""
    data = read_recorded(training)
    check_returns(data.table.trajectory_return)
    succeeded = data.table.trajectory_return > 0
    for step in training.steps():
        _, rows = data.draw(config.batch, step, training.config.seed)
        fit_critics(training, data, succeeded, rows, step)
        if step > config.critic_warmup:
            good = judge(training, config, data, succeeded, rows)
            imitate(training, data, good, rows, step)
        training.finish(step)


def fit_critics(training: Training, data: Recorded, succeeded: Flags, rows: Sequence[Row], step: int) -> None:
    """A step of both critics."""
    critic: Any = training.parts["critic"]
    along = data.table.trajectories
    classes = along.spread(succeeded).astype(np.float64)
    first = np.full(len(data.table), np.nan)
    first[along.starts] = classes[along.starts]
    log_odds = critic.before(rows, len(data.turn_of_token), training.config.pass_tokens, STEP)
    columns = {
        "returns": data.at_first(classes, rows),
        "first": data.at_first(first, rows),
        "values": 1 / (1 + np.exp(-log_odds)),
    }
    with training.updating(
        step, data.episodes, None, rows=rows, fitting=Fitting(critic, columns, frozen=True)
    ) as update:
        for batch in update.batches():
            where = batch.columns["returns"].isfinite()
            states, opening = critic.states(batch, where), batch.columns["first"][where]
            asked = opening.isfinite()
            parts = {
                "step_loss": (STEP, states, batch.columns["returns"][where], batch.counts["returns"]),
                "instruction_loss": (INSTRUCTION, states[asked], opening[asked], max(batch.counts["first"], 1.0)),
            }
            losses = {
                name: critic_loss([critic.critic.heads[head](here)[:, 0, 0] for head in heads], wanted) / number
                for name, (heads, here, wanted, number) in parts.items()
            }
            total = losses["step_loss"] + losses["instruction_loss"]
            shown = {name: float(each.detach()) * batch.weight for name, each in losses.items()}
            update.backward(batch, None, total, shown)


def judge(training: Training, config: Config, data: Recorded, succeeded: Flags, rows: Sequence[Row]) -> Floats:
    """Which of the drawn turns are imitated: 1 or 0 (T)."""
    critic: Any = training.parts["critic"]
    table, along, budget = data.table, data.table.trajectories, training.config.pass_tokens
    first, chosen = table.token_offsets[:-1], sorted({row.episode for row in rows})
    with training.timed("values"):
        found = {
            heads: 1 / (1 + np.exp(-critic.before(rows, len(data.turn_of_token), budget, heads)[first]))
            for heads in (INSTRUCTION, STEP)
        }
        end = data.after(critic, chosen, budget, STEP)
    open_ended = np.array([bool(final) for final in data.finals])
    value = found[STEP]
    following = along.following(value, np.where(open_ended, 1 / (1 + np.exp(-end)), 0.0))
    returns = discounted_returns(table.reward, along, config.gamma)
    advantage = advantages(table.reward, value, following, returns, config.cost)
    kept = np.zeros(len(data.episodes), bool)
    numbers = np.array(chosen, np.int64)
    opening = found[INSTRUCTION][along.starts][numbers]
    kept[numbers] = filtered(succeeded[numbers], opening, config.keep)
    good = along.spread(kept) & (advantage > 0)
    training.report({"kept_episodes": int(kept.sum()), "kept_turns": int(good.sum())})
    return good.astype(np.float64)


def imitate(training: Training, data: Recorded, good: Floats, rows: Sequence[Row], step: int) -> None:
    """A step of the policy."""
    credit = data.on_tokens(good)
    rows = [row for row in rows if bool(credit[row.source[row.source >= 0]].any())]
    with training.updating(step, data.episodes, credit, rows=rows, demonstrated=True) as update:
        for batch in update.batches():
            logprob = update.logprobs(batch)
            total, metrics = loss(logprob, batch.advantage, batch.mask, tokens=batch.tokens)
            update.backward(batch, logprob, total, metrics)


__all__ = ["Config", "advantages", "check_returns", "critic_loss", "filtered", "loss", "parts", "train"]
