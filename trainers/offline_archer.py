"""Offline ArCHer: an implicit Q-learning critic of whole turns, and an actor that imitates by advantage.

    Q_i(s, a) -> r + gamma V'_i(s')          V_i(s) -> the upper expectile of Q'_i(s, a) over recorded a
    A(s, a) = min_i Q_i(s, a) - min_i V_i(s)
    L = -mean over recorded turns of exp(beta A(s, a)) log pi(a | s)

    arena train offline-archer --env arena/KeyDoor-v0 --data runs/played -m ./my-model --steps 20

Zhou et al. 2024 (arXiv 2402.19446), section 5.4: IQL (Kostrikov et al. 2021, arXiv 2110.06169) with AWR (Peng et al.
2019, arXiv 1910.00177). It asks neither critic nor actor about actions that nobody took. States, answers,
targets and the critic's kinds are those of `archer`; the actor begins after `critic_warmup` steps.

Bias: with `expectile` 0.5 and exact heads, V is the value of whoever was recorded, and the actor's optimum is
their policy times exp(beta A); towards 1, V is the best of the recorded actions. In a game of chance the
upper expectile also takes luck for skill.

Deviations: those of `archer`; the losses of squared errors carry the factor 2 |expectile - 1(Q' < V)|, so that 0.5
gives the plain loss. `max_weight` bounds exp(beta A); the reference's is unbounded, which is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.seeds import derive
from arena.trainers._experience import Experience
from arena.trainers._fresh_answers import imitation_rows
from arena.trainers._options import Options
from arena.trainers._replay import Replay
from arena.trainers._turn_critic import TurnCritic
from arena.trainers._turn_values import TurnBatch, explained, goals_of, q_targets, target_q, turn_heads, values_after
from arena.trainers.archer import advantages, kept

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._segments import Floats
    from arena.trainers._training import Training

_LARGEST = float(np.log(np.finfo(np.float32).max)) / 2
"""Exponents above it overflow in a loss, or in the square of its gradient."""


@dataclass(frozen=True)
class Config(Options):
    """What offline ArCHer can be told."""

    gamma: float = 0.99
    """Discount per turn."""
    n_steps: int = 1
    """Turns whose rewards are summed before V' counts."""
    bootstrap: bool = True
    """After a truncated trajectory V' of the final state counts; False: nothing, as in the reference."""
    tau: float = 0.05
    """Share of the critic that the targets take over after each of its steps."""
    expectile: float = 0.9
    """0.5: V is the mean of Q'; towards 1 the largest."""
    beta: float = 1.0
    """How much the advantage counts in the actor's weights (`inv_temp`)."""
    max_weight: float | None = None
    """The largest weight; none unless told."""
    critic: str = "copy"
    """`copy`, `small[:…]`, `head` or a folder."""
    critic_loss: Literal["mse", "hl_gauss"] = "mse"
    """Squared errors, or cross entropy of a Gaussian around the target (Farebrother et al. 2024)."""
    low: float = -0.5
    """`hl_gauss`: the bins go from here …"""
    high: float = 1.5
    """… to here; leave a margin around the returns."""
    bins: int = 51
    """`hl_gauss`: how many."""
    critic_window: int | None = None
    """Turns before the last that the critic is shown; what the agent is shown unless told."""
    critic_rate: float | None = None
    """Learning rate of the critic; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    critic_updates: int = 50
    """Steps of the critic in each step of the training."""
    critic_batch: int = 64
    """Turns of each of them."""
    actor_batch: int = 64
    """Turns of each of the actor's steps, of which there are `minibatches`."""
    critic_warmup: int = 0
    """In so many first steps the actor stays as it is."""


def weights(advantage: Floats, config: Config) -> Floats:
    """How much each turn is imitated: exp(beta A), at most `max_weight` (B).

    Raises:
        UsageError: one is beyond float32, in which the loss is computed.
    """
    found = config.beta * advantage
    if config.max_weight is not None:
        return np.asarray(np.exp(np.minimum(found, np.log(config.max_weight))), np.float64)
    if found.max(initial=0.0) > _LARGEST:
        raise UsageError(
            f"An advantage of {advantage.max():g} weighs exp({found.max():g}) with beta={config.beta:g}, beyond all "
            "numbers of float32: bound the weights with settings.max_weight=20, or take a lower settings.beta."
        )
    return np.asarray(np.exp(found), np.float64)


def loss(
    logprob: Tensor, weight: Tensor, mask: Tensor, *, sequences: float | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The actor's loss and its metrics: log-probabilities and mask (B, L), a weight of each turn (B)."""
    from arena.trainers._losses import aggregate

    total = aggregate(-weight[:, None] * logprob, mask, "seq-mean-token-sum", sequences=sequences)
    return total, {"demonstrated": aggregate(logprob.detach().exp(), mask).item()}


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic with its targets, and the buffer of recorded turns.

    Raises:
        UsageError: the critic does not fit the policy, or the expectile is none.
    """
    if not 0 < config.expectile < 1:
        raise UsageError(f"An expectile lies between 0 and 1, and 0.5 is the mean; {config.expectile} is none.")
    critic = TurnCritic.make(
        config.critic,
        policy,
        turn_heads(config.critic_loss, config.low, config.high, config.bins),
        tau=config.tau,
        budget=training.pass_tokens,
        learning_rate=config.critic_rate,
        seed=training.seed,
        answer_limit=training.answer_limit,
    )
    return {"critic": critic, "replay": Replay()}


def train(training: Training, config: Config) -> None:
    """Fit the critic, imitate by its advantages, log, evaluate, save."""
    critic, replay = kept(training)
    with Experience(training, replay, gamma=config.gamma, window=config.critic_window) as recorded:
        for step in training.steps():
            critic.measure(recorded.returns())
            draw = np.random.default_rng(derive(training.config.seed, "replay", step))
            with training.timed("critic"):
                training.report(fit_critic(training, config, draw))
            if step > config.critic_warmup:
                imitate(training, config, draw, step)
            training.finish(step)


def fit_critic(training: Training, config: Config, draw: np.random.Generator) -> dict[str, float]:
    """The critic's steps, each towards the targets as they have followed."""
    (critic, replay), context = kept(training), training.policy.context
    losses = []
    for _ in range(config.critic_updates):
        rows = replay.uniform(draw).draw(config.critic_batch)
        turns = replay.transitions(rows, gamma=config.gamma, steps=config.n_steps, bootstrap=config.bootstrap)
        batch = TurnBatch.of(turns.state, turns.answer, context)
        wanted = q_targets(turns.reward, turns.discount, values_after(critic, turns.after))
        goals = goals_of(batch, wanted, target_q(critic, batch), expectile=config.expectile)
        losses.append(critic.step(batch.sequences, goals))
    found = {f"critic_{name}": float(np.mean([one[name] for one in losses])) for name in losses[0]}
    return found | explained(critic, turns, context)


def imitate(training: Training, config: Config, draw: np.random.Generator, step: int) -> None:
    """The actor's steps: recorded turns, weighted by what the critic says of them."""
    import torch

    critic, replay = kept(training)
    rows = replay.uniform(draw).draw(training.config.minibatches * config.actor_batch)
    turns = replay.transitions(rows, gamma=config.gamma)
    with training.timed("values"):
        batch = TurnBatch.of(turns.state, turns.answer, training.policy.context)
        weight = weights(advantages(*batch.read(critic)), config)
    training.report({"weight_mean": float(weight.mean()), "weight_max": float(weight.max())})
    with training.updating(step, [], None, rows=imitation_rows(turns.prompt, turns.answer)) as update:
        for part in update.batches():
            logprob = update.logprobs(part)
            chosen = torch.tensor([weight[row.episode] for row in part.rows], device=logprob.device).to(logprob.dtype)
            total, metrics = loss(logprob, chosen, part.mask, sequences=part.sequences)
            update.backward(part, logprob, total, metrics)
