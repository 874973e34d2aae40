"""A-LoL: imitate recorded turns that went better than expected, as far as the policy may leave its beginning.

    A_t = max(G_t - V_ref(s_t), 0)        L = mean of A_t clip(r, 1 - clip, 1 + clip) (-log pi(a_t | s_t))
    r = pi(a_t | s_t) / pi_ref(a_t | s_t), a constant

    arena train a_lol --env arena/KeyDoor-v0 --model runs/cloned/model --data runs/mixed --steps 30

Advantage-Leftover Lunch: Baheti et al. 2024 (arXiv 2305.14718); pi_ref is the policy the run began with. An action is
a whole answer: r is of all its tokens, and a turn has one advantage. Turns without a positive advantage teach
nothing and are not computed. In the first `critic_warmup` steps V_ref is fitted and the policy stays as it
is; then V_ref stays as it is. Episodes are drawn by how much advantage their turns have together
(`priority`), which is the paper's sampling.

The paper's variants are the `ratio`: `turn` (A-LoL), `token` (A-LoL seq.: r of each token), `none` (A-LoL ref. free).

Deviations: the paper's tasks have one turn; here s_t is the conversation, and G_t the discounted return from the
turn on. A truncated episode ends with what it had earned. V_ref reads a critic of its own instead of a head on
the frozen reference (`critic=small` is the cheap one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from arena.core.seeds import derive
from arena.trainers._critic import Fit, Fitting
from arena.trainers._options import Options
from arena.trainers._recorded import read_recorded
from arena.trainers._returns import discounted_returns
from arena.trainers._row_logprobs import demonstrated_logprobs
from arena.trainers._segments import sum_by

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._recorded import Recorded
    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What A-LoL can be told."""

    batch: int = 64
    """Recorded episodes of a step."""
    gamma: float = 1.0
    """Discount per turn."""
    ratio: Literal["turn", "token", "none"] = "turn"
    """Of what the ratio is; `none` takes it for 1."""
    clip: float = 0.9
    """The ratio stays within 1 - clip and 1 + clip."""
    priority: bool = True
    """Draw episodes in proportion to the advantage of their turns."""
    critic: str = "copy"
    """`copy`, `small[:…]` or a folder."""
    critic_rate: float | None = None
    """The critic's learning rate; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    critic_warmup: int = 5
    """In so many first steps the critic is fitted and the policy stays as it is; then the other way round."""


def advantages(returns: Floats, value: Floats) -> Floats:
    """max(G - V, 0) of each turn (T)."""
    return np.maximum(returns - value, 0.0)


def loss(
    logprob: Tensor,
    ref_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    config: Config,
    *,
    turn: Tensor | None = None,
    tokens: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The weighted negative log-probability per token, and how far the policy has gone; tensors are (B, L).

    Args:
        logprob: with gradients.
        ref_logprob: of the policy that the run began with.
        advantage: of each token's turn, at least 0.
        mask: the tokens that train.
        config: ratio and clip.
        turn: a number of the turn that each token is in, for the ratio of turns; each row is one unless told.
        tokens: tokens of the whole minibatch.
    """
    import torch

    from arena.trainers._losses import aggregate, log_ratio

    change = torch.where(mask > 0, log_ratio(logprob, ref_logprob).detach(), 0.0)
    if config.ratio == "turn":
        turns = torch.zeros_like(mask, dtype=torch.long) if turn is None else turn
        sums = torch.zeros(len(mask), int(turns.max()) + 1, device=change.device, dtype=change.dtype)
        change = sums.scatter_add(1, turns, change).gather(1, turns).clamp(-20.0, 20.0)
    ratio = torch.ones_like(change) if config.ratio == "none" else change.exp()
    bounded = ratio.clamp(1 - config.clip, 1 + config.clip)
    shown = {"ratio": ratio, "clip_share": (bounded != ratio).to(ratio.dtype)}
    total = aggregate(-logprob * bounded * advantage, mask, tokens=tokens)
    return total, {name: aggregate(value, mask).item() for name, value in shown.items()}


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic, which a run keeps besides its policy.

    Raises:
        UsageError: it does not fit the policy, or has no trunk of its own.
    """
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._critic_choice import make_critic
    from arena.trainers._token_critic import check_own_trunk

    check_own_trunk(config.critic)
    critic, _ = make_critic(config.critic, policy, {"value": HeadOptions()}, seed=training.seed)
    return {"critic": Fit(critic, policy, learning_rate=config.critic_rate)}


def train(training: Training, config: Config) -> None:
    """Fit the critic, then draw the turns it finds good and imitate them, log, evaluate, save."""
    critic: Any = training.parts["critic"]
    data = read_recorded(training)
    returns = discounted_returns(data.table.reward, data.table.trajectories, config.gamma)
    critic.measure(returns)
    advantage: Floats | None = None
    for step in training.steps():
        if step <= config.critic_warmup:
            fit_critic(training, config, data, returns, step)
        else:
            if advantage is None:
                with training.timed("values"):
                    before = critic.before(data.rows, len(data.turn_of_token), training.config.pass_tokens)
                advantage = advantages(returns, before[data.table.token_offsets[:-1]])
            imitate(training, config, data, advantage, step)
        training.finish(step)


def fit_critic(training: Training, config: Config, data: Recorded, returns: Floats, step: int) -> None:
    """A step of the critic alone."""
    from arena.trainers._losses import aggregate

    critic: Any = training.parts["critic"]
    _, rows = data.draw(config.batch, step, training.config.seed)
    with training.timed("values"):
        before = critic.before(rows, len(data.turn_of_token), training.config.pass_tokens)
    seen = before[data.table.token_offsets[:-1]]
    columns = {
        "values": critic.in_unit(data.at_first(seen, rows)),
        "returns": critic.in_unit(data.at_first(returns, rows)),
    }
    fitting = Fitting(critic, columns, frozen=True)
    with training.updating(step, data.episodes, None, rows=rows, fitting=fitting) as update:
        for batch in update.batches():
            target = batch.columns["returns"]
            error = 0.5 * (update.values(batch) - target.nan_to_num()).square()
            total = aggregate(error, target.isfinite(), tokens=batch.counts["returns"])
            shown = float(total.detach()) * batch.weight
            update.backward(batch, None, total, {"value_loss": shown})


def imitate(training: Training, config: Config, data: Recorded, advantage: Floats, step: int) -> None:
    """A step of the policy alone."""
    import torch

    chosen = drawn(data, advantage, config, step, training.config.seed)
    rows = [row for row in data.rows if row.episode in chosen]
    tokens = len(data.turn_of_token)
    with training.timed("values"):
        reference = demonstrated_logprobs(training, rows, tokens, began=True)
    credit = data.on_tokens(advantage)
    training.report({"advantage_mean": float(advantage.mean()), "advantage_share": float((advantage > 0).mean())})
    with training.updating(step, data.episodes, credit, rows=rows, demonstrated=True) as update:
        for batch in update.batches():
            logprob = update.logprobs(batch)
            found, turn = np.zeros(batch.mask.shape, np.float32), np.zeros(batch.mask.shape, np.int64)
            for number, row in enumerate(batch.rows):
                here = np.flatnonzero(row.source >= 0)
                found[number, here] = reference[row.source[here]]
                turn[number, here] = np.unique(data.turn_of_token[row.source[here]], return_inverse=True)[1]
            device = batch.mask.device
            total, metrics = loss(
                logprob,
                torch.from_numpy(found).to(device),
                batch.advantage,
                batch.mask,
                config,
                turn=torch.from_numpy(turn).to(device),
                tokens=batch.tokens,
            )
            update.backward(batch, logprob, total, metrics)


def drawn(data: Recorded, advantage: Floats, config: Config, step: int, seed: int) -> set[int]:
    """The episodes of a step: those whose turns have more advantage together are likelier to be among them."""
    if not config.priority:
        return set(data.draw(config.batch, step, seed)[0])
    weight = sum_by(data.table.trajectories.index, advantage, len(data.episodes))
    likely = np.flatnonzero(weight > 0)
    number = min(config.batch, len(likely))
    generator = np.random.default_rng(derive(seed, "priority", step))
    chosen = generator.choice(likely, number, replace=False, p=weight[likely] / weight.sum()) if number else likely
    return set(chosen.tolist())


__all__ = ["Config", "advantages", "drawn", "fit_critic", "imitate", "loss", "parts", "train"]
