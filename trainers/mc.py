"""Monte Carlo returns over tokens (MC): what each next token is worth, regressed on what was earned.

    Q(s_k, a_k) -> G_k = r_k + gamma G_{k+1}       L = mean (Q - G)^2 / 2 + cql mean CE(Q(s_k, .), a_k)
    played:  softmax(log pi(.|s) + beta Q(s, .))

    arena train mc --env arena/KeyDoor-v0 --model runs/cloned/model --data runs/mixed --steps 300 -o runs/mc
    arena eval arena/KeyDoor-v0 -a chat -m hf:runs/mc/model,critic=runs/mc,beta=16

Abdulhai et al. 2023, "LMRL Gym" (arXiv 2311.18232), section 4. k counts the tokens of the answers; what is shown
in between is part of the state. Q is that of whoever played the episodes: one step of policy improvement, from
one round of evaluation. It needs no targets and cannot diverge; where good and bad play are mixed within an
episode, `ilql` can do better, since it need not follow an episode to its bad end.

The policy stays as it is: it is pi in the sampling above, and should have been cloned from the same data
(`arena train bc`). The critic has a trunk of its own, a copy of the policy's unless told.

Deviations: none. A truncated episode ends with what it had earned, as there. gamma is per token, as there.
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
    """What MC can be told."""

    batch: int = 64
    """Recorded episodes of a step."""
    gamma: float = 0.99
    """Discount per token."""
    cql: float = 0.01
    """Weight of the conservative term."""
    critic: str = "copy"
    """`copy`, `small[:hidden=64,layers=2,heads=4]` or a folder; it has a trunk of its own."""
    critic_rate: float | None = None
    """Its learning rate; 1e-3, or 1e-5 with over 30 M parameters, unless told."""
    beta: float = 16.0
    """How far the critic leads the policy when held-out tasks are played."""
    layers: int = 1
    """Hidden layers of the head."""


def targets(reward: Floats, along: Segments, gamma: float) -> Floats:
    """The discounted return of each token, from it to the end of its episode (N)."""
    return discounted_returns(reward, along, gamma)


def loss(
    q: Tensor, taken: Tensor, returns: Tensor, config: Config, *, tokens: float | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The critic's loss and what it consists of.

    Args:
        q: for each token of the vocabulary (M, V).
        taken: the tokens that were taken (M).
        returns: what Q is fitted to (M).
        config: weights.
        tokens: tokens of the whole minibatch; M unless told.
    """
    import torch

    number = tokens if tokens is not None else max(len(taken), 1)
    fitted = (q.gather(-1, taken[:, None])[:, 0] - returns).square().sum() / 2
    conservative = torch.nn.functional.cross_entropy(q, taken, reduction="sum")
    shown = {"q_loss": float(fitted.detach()), "q_cql": float(conservative.detach())}
    total: Tensor = (fitted + config.cql * conservative) / number
    return total, {name: value / max(len(taken), 1) for name, value in shown.items()}


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic, which a run keeps besides its policy.

    Raises:
        UsageError: it does not fit the policy, or has no trunk of its own.
    """
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._critic_choice import make_critic

    check_own_trunk(config.critic)
    heads = {"q": HeadOptions(outputs=vocabulary(policy), layers=config.layers)}
    critic, _ = make_critic(config.critic, policy, heads, seed=training.seed)
    critic.answer_limit = training.answer_limit
    return {"critic": Fit(critic, policy, learning_rate=config.critic_rate)}


def train(training: Training, config: Config) -> None:
    """Draw recorded episodes, fit the critic to their returns, log, evaluate, save."""
    critic: Any = training.parts["critic"]
    data = read_recorded(training)
    number, budget = len(data.turn_of_token), training.config.pass_tokens
    returns = targets(data.table.token_reward, data.along, config.gamma)
    critic.measure(returns, "q")
    training.guide = lambda: guided_model(training.policy, critic.critic, config.beta)
    for step in training.steps():
        _, rows = data.draw(config.batch, step, training.config.seed)
        with training.timed("values"):
            columns = {"returns": returns, "values": critic.before(rows, number, budget, "q")}
        fitting = Fitting(critic, columns, frozen=True)
        with training.updating(step, data.episodes, None, rows=rows, fitting=fitting) as update:
            for batch in update.batches():
                where = batch.columns["returns"].isfinite()
                head = critic.critic.heads["q"]
                q = head.value(head(critic.states(batch, where)))
                total, metrics = loss(
                    q, batch.ids[where], batch.columns["returns"][where], config, tokens=batch.counts["returns"]
                )
                update.backward(batch, None, total, metrics)
        training.finish(step)
