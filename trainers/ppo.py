"""PPO with a value head: generalised advantages over tokens, over turns, or over both.

    d_t = r_t + gamma V_{t+1} - V_t        A_t = d_t + gamma lam A_{t+1}
    L   = mean of max(-A r, -A clip(r)) + c mean of max((V - R)^2, (clip(V) - R)^2) / 2

    arena train ppo --env arena/Maze-v0 --model ./my-model --set settings.gamma=0.99

PPO: Schulman et al. 2017 (arXiv 1707.06347). What t counts is the `unit`:
- `turn`: V of the observation a turn acts on; one advantage for all of the turn's tokens.
- `token`: V before each sampled token; tokens of the environment in between are skipped, neither
  discounted nor reset.
- `bilevel`: over the last tokens of the turns with `turn_gamma`, then inside each turn (RAGEN,
  arXiv 2504.20073).

V is read where the prompt of a turn ends, or at the token before each sampled one, so it knows nothing
that comes later. What reads it is the `critic`:
- `copy`: a copy of the policy's trunk that trains on its own. The default: however wrong it is, fitting
  it cannot move the policy, it may learn at a rate of its own, and a warm-up fits all of it, not only a
  head. Of a small model this costs little.
- `shared`: the policy's trunk, moved by both losses; half the memory and no second pass. The default
  with adapters, where a copy would cost what they save.
- `head`: the policy's trunk, moved by the policy's loss alone.
- `small[:hidden=64,layers=2,heads=4]`: a fresh small transformer. A folder: a pretrained causal model
  with the policy's tokenizer, or a critic to go on with.

Bias: none with lam = 1 and any V, or with V exact and any lam (gamma = 1, `whiten` off); otherwise
V's error, the more the smaller lam. Whitening adds O(1 / batch), like any mean over the own batch.

Deviations: a trajectory that was truncated bootstraps from the value after its last turn (verl
treats it as terminated: `bootstrap=False`): the final observation is written into the conversation as
the agent would have, and V is read there; it is 0 where that does not fit the model's context, since
the policy could not have gone on. With gamma = 1 such a turn limit costs nothing, so nothing says
hurry: take gamma < 1 where time should count. The critic learns values in a unit measured on the first
step's returns, so that its loss, `value_clip` and `value_coefficient` mean the same whatever the rewards.
With `critic_loss=hl_gauss` the critic classifies (Farebrother et al. 2024, arXiv 2403.03950): its values are the
means of distributions over bins from `low` to `high`. Turn ends are the table's; RAGEN infers them from
rewards, which merges a turn without reward into the next and fails on an episode without any. Advantages
on tokens of the environment are 0 (verl leaves a value there that its masks ignore).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from arena.core.errors import UsageError
from arena.trainers._groups import whitened
from arena.trainers._options import Aggregation, Options
from arena.trainers._returns import bilevel_gae, token_gae, turn_gae, turn_returns

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._batch import Batch
    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._segments import Flags, Floats
    from arena.trainers._table import TurnTable
    from arena.trainers._training import Training
    from arena.trainers._update import Update


@dataclass(frozen=True)
class Config(Options):
    """What PPO can be told."""

    unit: Literal["turn", "token", "bilevel"] = "turn"
    """What the advantages run over."""
    gamma: float = 1.0
    """Discount per turn, or per token."""
    lam: float = 0.95
    """0 trusts the critic, 1 the returns."""
    turn_gamma: float = 0.95
    """`bilevel`: discount per turn; `gamma` is per token."""
    whiten: bool = True
    """Normalise the advantages over the batch's scored turns or sampled tokens."""
    whiten_ddof: int = 1
    """1: unbiased variance (verl); 0: the population's (LMRL-Gym)."""
    clip_low: float = 0.2
    """The ratio is clipped at 1 - clip_low …"""
    clip_high: float = 0.2
    """… and 1 + clip_high."""
    dual_clip: float | None = None
    """Where A < 0, the loss is at most this times -A."""
    value_clip: float | None = 0.2
    """How far a value may move from the old one within the loss, in the critic's unit; None: any distance."""
    value_coefficient: float = 1.0
    """The value loss counts this much."""
    aggregation: Aggregation = "token-mean"
    """How tokens become one loss."""
    bootstrap: bool = True
    """A truncated trajectory is worth V after its last turn; False: nothing more."""
    critic: str | None = None
    """`copy`, `shared`, `head`, `small[:…]` or a folder; copy, or with adapters shared, unless told."""
    critic_rate: float | None = None
    """Learning rate of what only the critic has; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    critic_warmup: int = 0
    """In so many first steps the critic is fitted and the policy stays as it is."""
    critic_loss: Literal["mse", "hl_gauss"] = "mse"
    """Squared errors of a number; or a distribution over bins, fitted by cross entropy (without `value_clip`)."""
    low: float = -0.5
    """`hl_gauss`: the bins go from here …"""
    high: float = 1.5
    """… to here; returns must lie within, with a margin."""
    bins: int = 51
    """`hl_gauss`: how many."""


def advantages(table: TurnTable, config: Config) -> tuple[Floats, Floats]:
    """Advantages and value targets: of each turn (T), or with tokens of each token, 0 on others' (N).

    Raises:
        UsageError: a turn or sampled token without a value.
    """
    if config.unit == "turn":
        _require(table.value, table.scored, "value")
        return _finished(*turn_gae(table, config.gamma, config.lam), table.scored, config)
    tokens, number = table.sampled, len(table.token_producer)
    _require(tokens.value, tokens.scored, "token_value")
    if config.unit == "token":
        found = token_gae(table, config.gamma, config.lam)
    else:
        found = bilevel_gae(table, config.gamma, config.lam, config.turn_gamma)
    advantage, targets = _finished(*found, tokens.scored, config)
    return tokens.among_all(advantage, number), tokens.among_all(targets, number)


def _finished(advantage: Floats, targets: Floats, scored: Flags, config: Config) -> tuple[Floats, Floats]:
    if config.whiten:
        advantage = whitened(advantage, scored, ddof=config.whiten_ddof)
    return np.where(scored, advantage, 0.0), np.where(scored, targets, 0.0)


def _require(values: Floats, scored: Flags, column: str) -> None:
    missing = int(np.isnan(values[scored]).sum())
    if missing:
        raise UsageError(
            f"PPO needs a critic's estimate everywhere, but {missing} of {int(scored.sum())} entries of the "
            f"column {column!r} have none: see table.with_values and table.replace."
        )


def loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    config: Config,
    *,
    tokens: float | None = None,
    sequences: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The policy's loss and its metrics; tensors are (B, L), counts the whole batch's (see `_losses.aggregate`)."""
    from arena.trainers._losses import aggregate, clipped, log_ratio, shares

    ratio = log_ratio(logprob, old_logprob)
    per_token, metrics = clipped(ratio, advantage, 1 - config.clip_low, 1 + config.clip_high, config.dual_clip)
    total = aggregate(per_token, mask, config.aggregation, tokens=tokens, sequences=sequences)
    return total, shares(metrics, logprob, old_logprob, mask)


def value_loss(
    value: Tensor,
    old_value: Tensor,
    returns: Tensor,
    mask: Tensor,
    config: Config,
    *,
    tokens: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The critic's loss, to be multiplied by `value_coefficient`, and its metrics; tensors are (B, L)."""
    from arena.trainers._losses import aggregate, value_losses

    per_token, metrics = value_losses(value, old_value, returns, config.value_clip)
    shown = {name: flag.to(value.dtype) for name, flag in metrics.items()} | {"value_loss": per_token.detach()}
    return aggregate(per_token, mask, tokens=tokens), {
        name: aggregate(number, mask).item() for name, number in shown.items()
    }


def critic_loss(update: Update, batch: Batch, config: Config) -> tuple[Tensor, dict[str, float]]:
    """The loss of the critic on a batch, as `critic_loss` says, and its metrics."""
    from arena.trainers._losses import aggregate

    returns = batch.columns["returns"]
    where, tokens = returns.isfinite(), batch.counts["returns"]
    if config.critic_loss == "mse":
        return value_loss(update.values(batch), batch.columns["values"], returns, where, config, tokens=tokens)
    per_token = update.value_errors(batch)
    return aggregate(per_token, where, tokens=tokens), {"value_loss": aggregate(per_token.detach(), where).item()}


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic, which a run keeps besides its policy.

    Raises:
        UsageError: it does not fit the policy.
    """
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._critic import Fit
    from arena.trainers._critic_choice import make_critic

    spec = config.critic or ("shared" if training.policy.lora_rank else "copy")
    classifying = HeadOptions(kind="hl_gauss", low=config.low, high=config.high, bins=config.bins)
    head = classifying if config.critic_loss == "hl_gauss" else HeadOptions()
    critic, detach = make_critic(spec, policy, {"value": head}, seed=training.seed)
    return {"critic": Fit(critic, policy, learning_rate=config.critic_rate, detach=detach)}


def train(training: Training, config: Config) -> None:
    """Collect episodes, value and credit their turns, update policy and critic, log, evaluate, save."""
    from arena.trainers._critic import Fitting
    from arena.trainers._values import with_values

    critic: Any = training.parts["critic"]
    for step in training.steps():
        episodes = training.collect(step)
        table = training.table(episodes)
        critic.measure(turn_returns(table, config.gamma)[table.scored])
        with training.timed("values"):
            make_agent = training.make_agent if config.bootstrap else None
            table = with_values(table, critic, episodes, budget=training.config.pass_tokens, make_agent=make_agent)
        credit, values, targets = _on_tokens(table, *advantages(table, config), config)
        columns = {"values": critic.in_unit(values), "returns": critic.in_unit(targets)}
        fitting = Fitting(critic, columns, frozen=step <= config.critic_warmup)
        with training.updating(step, episodes, credit, table=table, fitting=fitting) as update:
            for batch in update.batches():
                logprob = update.logprobs(batch)
                total, metrics = loss(
                    logprob,
                    batch.old_logprob,
                    batch.advantage,
                    batch.mask,
                    config,
                    tokens=batch.tokens,
                    sequences=batch.sequences,
                )
                value_total, value_metrics = critic_loss(update, batch, config)
                total = total + config.value_coefficient * value_total
                update.backward(batch, logprob, total, {**metrics, **value_metrics})
        training.finish(step)


def _on_tokens(table: TurnTable, advantage: Floats, targets: Floats, config: Config) -> tuple[Floats, Floats, Floats]:
    """Advantage, value and target of each token; the target is NaN where the critic is not fitted (N each)."""
    from arena.trainers._values import at_first_answers

    if config.unit == "turn":
        return table.on_tokens(advantage), at_first_answers(table, table.value), at_first_answers(table, targets)
    tokens = table.sampled
    fitted = np.full(len(targets), np.nan)
    fitted[tokens.where[tokens.scored]] = targets[tokens.where[tokens.scored]]
    return advantage, table.token_value, fitted
