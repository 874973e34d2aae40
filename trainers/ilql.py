"""Implicit Q-learning over tokens (ILQL): what each next token is worth, learned from recorded episodes alone.

    Q_i(s_k, a_k) -> r_k + gamma V(s_{k+1})          V(s_k) -> min_i Qbar_i(s_k, a_k), by expectile
    L = sum_i mean (Q_i - target)^2 / 2 + mean |expectile - 1[u < 0]| u^2 / 2 + cql sum_i mean CE(Q_i(s_k, .), a_k)
    with u = min_i Qbar_i - V; played:  softmax(log pi(.|s) + beta min_i Q_i(s, .))

    arena train ilql --env arena/KeyDoor-v0 --model runs/cloned/model --data runs/mixed --steps 300 -o runs/ilql
    arena eval arena/KeyDoor-v0 -a chat -m hf:runs/ilql/model,critic=runs/ilql,beta=16

ILQL: Snell et al. 2023 (arXiv 2206.11871), as LMRL-Gym has it (Abdulhai et al. 2023, arXiv 2311.18232). k counts
the tokens of the answers: the next one after an answer's last is the first of the next answer, and what is
shown in between is part of its state. Above an expectile of 0.5 V leans to the better of the recorded tokens,
so Q backs up what the data's best choices come to, without ever asking about a token that was not taken; the
conservative term keeps the Q of the others down. Qbar follows Q slowly (Polyak).

The policy stays as it is: it is pi in the sampling above, and should have been cloned from the same data
(`arena train bc`). The critic has a trunk of its own, a copy of the policy's unless told.

Deviations: Vs that are bootstrapped from and the targets' Qs are read once a step, from the weights at its
beginning: with minibatches=1 that is the reference. A truncated episode is worth V of its last observation after
its end (the reference: V at its last token, which has not seen it). gamma is per token, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arena.trainers._critic import Fit, Fitting
from arena.trainers._options import Options
from arena.trainers._recorded import read_recorded
from arena.trainers._returns import discounted_returns
from arena.trainers._token_critic import check_own_trunk, guided_model, vocabulary

if TYPE_CHECKING:
    from torch import Tensor

    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._segments import Floats, Segments
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What ILQL can be told."""

    batch: int = 64
    """Recorded episodes of a step."""
    gamma: float = 0.99
    """Discount per token."""
    expectile: float = 0.7
    """0.5: V is the mean of Q over the data's tokens; near 1: the best of them."""
    cql: float = 0.01
    """Weight of the conservative term."""
    polyak: float = 0.005
    """How much of the critic's weights the targets take over after each optimiser step."""
    critic: str = "copy"
    """`copy`, `small[:hidden=64,layers=2,heads=4]` or a folder; it has a trunk of its own."""
    critic_rate: float | None = None
    """Its learning rate; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    beta: float = 16.0
    """How far the critic leads the policy when held-out tasks are played."""
    layers: int = 1
    """Hidden layers of each head."""


def targets(reward: Floats, value: Floats, along: Segments, gamma: float, end: Floats | float = 0.0) -> Floats:
    """What Q is fitted to: r_k + gamma V of the next token, and r_k + gamma `end` at the last one of an episode (N)."""
    found: Floats = reward + gamma * along.following(value, end)
    return found


def loss(
    q: tuple[Tensor, Tensor],
    value: Tensor,
    taken: Tensor,
    config: Config,
    *,
    target: Tensor,
    least: Tensor,
    tokens: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The critic's loss and what it consists of.

    Args:
        q: of both heads, for each token of the vocabulary (M, V).
        value: V (M).
        taken: the tokens that were taken (M).
        config: weights.
        target: what Q is fitted to (M).
        least: min_i Qbar_i of the tokens taken (M).
        tokens: tokens of the whole minibatch; M unless told.
    """
    import torch

    number = tokens if tokens is not None else max(len(taken), 1)
    above = least - value
    parts = {"value_loss": ((config.expectile - (above < 0).to(above.dtype)).abs() * above.square() / 2).sum() / number}
    total = parts["value_loss"]
    for name, scores in zip(("q1", "q2"), q, strict=True):
        error = (scores.gather(-1, taken[:, None])[:, 0] - target).square() / 2
        parts[f"{name}_loss"] = error.sum() / number
        parts[f"{name}_cql"] = torch.nn.functional.cross_entropy(scores, taken, reduction="sum") / number
        total = total + parts[f"{name}_loss"] + config.cql * parts[f"{name}_cql"]
    return total, {name: float(part.detach()) * number / max(len(taken), 1) for name, part in parts.items()}


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic and its targets, which a run keeps besides its policy.

    Raises:
        UsageError: it does not fit the policy, or has no trunk of its own.
    """
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._turn_critic import TurnCritic

    check_own_trunk(config.critic)
    q = HeadOptions(outputs=vocabulary(policy), layers=config.layers)
    made = TurnCritic.make(
        config.critic,
        policy,
        {"q1": q, "q2": q, "v": HeadOptions(layers=config.layers)},
        tau=config.polyak,
        budget=training.pass_tokens,
        learning_rate=config.critic_rate,
        seed=training.seed,
        answer_limit=training.answer_limit,
    )
    return {"critic": made}


def train(training: Training, config: Config) -> None:
    """Draw recorded episodes, read what their tokens should be worth, fit the critic, log, evaluate, save."""
    critic: Any = training.parts["critic"]
    fit, slow = critic.fit, Fit(critic.target, training.policy)
    data = read_recorded(training)
    reward, number, budget = data.table.token_reward, len(data.turn_of_token), training.config.pass_tokens
    critic.measure(discounted_returns(reward, data.along, config.gamma))
    training.guide = lambda: guided_model(training.policy, fit.critic, config.beta)
    for step in training.steps():
        chosen, rows = data.draw(config.batch, step, training.config.seed)
        with training.timed("values"):
            least = slow.before(rows, number, budget, ("q1", "q2"))
            value = fit.before(rows, number, budget, "v")
            end = data.after(fit, chosen, budget, "v")
        columns = {"returns": targets(reward, value, data.along, config.gamma, end), "values": least}
        fitting = Fitting(fit, columns, frozen=True)
        with training.updating(step, data.episodes, None, rows=rows, fitting=fitting) as update:
            for batch in update.batches():
                where = batch.columns["returns"].isfinite()
                states, taken = fit.states(batch, where), batch.ids[where]
                read = {name: head.value(head(states)) for name, head in fit.critic.heads.items()}
                total, metrics = loss(
                    (read["q1"], read["q2"]),
                    read["v"],
                    taken,
                    config,
                    target=batch.columns["returns"][where],
                    least=batch.columns["values"][where],
                    tokens=batch.counts["returns"],
                )
                update.backward(batch, None, total, metrics)
                if batch.completes:
                    critic.follow()
        training.finish(step)
