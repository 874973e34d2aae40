"""ArCHer: a critic of whole turns, learned from a replay buffer, and an actor that it teaches token by token.

    Q_i(s, a) -> r + gamma V'_i(s')          V_i(s) -> mean over fresh a ~ pi(.|s) of Q'_i(s, a)       i = 1, 2
    A(s, a) = min_i Q_i(s, a) - min_i V_i(s)
    L = -mean over turns of A(s, a) sum_j log pi(a_j | s, a_<j),     s from the buffer, a ~ pi(.|s)

    arena train archer --env arena/KeyDoor-v0 --data runs/played -m ./my-model --steps 20
    arena train archer --env arena/KeyDoor-v0 -m runs/cloned/model --set settings.critic_warmup=5

Zhou et al. 2024 (arXiv 2402.19446). s is what the agent is shown (or with `critic_window` a history of the
critic's own), a the whole answer. Q', V' are targets that follow the critic (Polyak). Each head has its own
targets, and the minimum over the two is taken in the actor alone. Every step adds what is played to the buffer,
makes `critic_updates` steps of the critic and then the actor's; with `--data` it learns from recorded
episodes, and plays none unless `play_from` names the step from which it does.

The `critic` is one of those of PPO (see there): `copy`, `small[:…]`, `head`, or a folder; not `shared`. Its heads give
values with squared errors, or with `critic_loss=hl_gauss` distributions over bins from `low` to `high`.

Bias: the policy gradient is that of the exact advantage where the critic is exact; otherwise the critic's
errors are its bias, with states drawn from all of the buffer, as in the reference. `baseline` takes nothing
away from that: it is subtracted before each token and does not know it. On recorded episodes alone nobody
tries the answers that the critic only guesses at, and a policy that drifts to such answers is not called
back: take `kl`, a low learning rate, `play_from`, or `offline_archer`, which asks about recorded answers only.

Deviations: what was truncated bootstraps from the final state (`bootstrap=False`: the reference's way, `done`
covers truncation). Gradients are means over the batch however it is cut (the reference sums over 32
accumulations), and critic and actor are clipped apart. State and answer are read in one pass by a causal
encoder, not pooled apart by RoBERTa. Losses are half squared errors in a unit measured on the first returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.seeds import derive
from arena.trainers import bc
from arena.trainers._experience import Experience
from arena.trainers._fresh_answers import fresh_answers, imitation_rows, policy_rows
from arena.trainers._groups import whitened
from arena.trainers._options import Options
from arena.trainers._replay import Replay
from arena.trainers._turn_critic import TurnCritic
from arena.trainers._turn_values import TurnBatch, critic_goals, explained, turn_heads

if TYPE_CHECKING:
    from torch import Tensor

    from arena.core.episode import Episode
    from arena.trainers._checkpoint import Part
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._replay import Transitions
    from arena.trainers._segments import Floats
    from arena.trainers._training import Training


@dataclass(frozen=True)
class Config(Options):
    """What ArCHer can be told."""

    gamma: float = 0.95
    """Discount per turn."""
    n_steps: int = 1
    """Turns whose rewards are summed before V' counts."""
    bootstrap: bool = True
    """After a truncated trajectory V' of the final state counts; False: nothing, as in the reference."""
    tau: float = 0.1
    """Share of the critic that the targets take over after each of its steps."""
    samples: int = 1
    """Fresh answers that V is fitted to, of each state."""
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
    clip: float | None = None
    """Clip the ratio of each token to 1 +- clip, as PPO does; it matters with several `epochs`."""
    whiten: bool = False
    """Normalise the advantages over the turns drawn."""
    baseline: bool = False
    """Subtract, before each token, what a further head of the critic expects the turn's advantage to be."""
    capacity: int = 100_000
    """Turns that the buffer keeps, at least."""
    bc_steps: int = 0
    """In so many first steps the actor imitates the turns in the buffer …"""
    critic_warmup: int = 0
    """… in so many after them it stays as it is, and then it learns from the critic."""
    play_from: int | None = None
    """The step from which episodes are played; the first without recorded ones, none with them, unless told."""

    def begins(self, *, recorded: bool) -> float:
        """The first step that plays episodes."""
        return self.play_from if self.play_from is not None else float("inf") if recorded else 1


def advantages(q: Floats, v: Floats) -> Floats:
    """A(s, a) of each turn: min_i Q_i - min_i V_i; (2, B) each -> (B)."""
    found: Floats = q.min(axis=0) - v.min(axis=0)
    return found


def loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    config: Config,
    *,
    sequences: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The actor's loss and its metrics; tensors are (B, L), `sequences` the whole batch's turns."""
    from arena.trainers._losses import aggregate, clipped, log_ratio, shares

    if config.clip is None:
        return aggregate(-advantage * logprob, mask, "seq-mean-token-sum", sequences=sequences), {}
    ratio = log_ratio(logprob, old_logprob)
    per_token, metrics = clipped(ratio, advantage, 1 - config.clip, 1 + config.clip)
    total = aggregate(per_token, mask, "seq-mean-token-sum", sequences=sequences)
    return total, shares(metrics, logprob, old_logprob, mask)


def parts(training: TrainConfig, config: Config, policy: Policy) -> dict[str, Part]:
    """The critic with its targets, and the replay buffer.

    Raises:
        UsageError: the critic does not fit the policy, or there is nothing to learn from.
    """
    if config.begins(recorded=bool(training.data.runs)) > 1 and not training.data.runs:
        raise UsageError(
            f"play_from={config.play_from} leaves nothing to learn from before: name runs with --data RUN."
        )
    heads = turn_heads(config.critic_loss, config.low, config.high, config.bins, baseline=config.baseline)
    critic = TurnCritic.make(
        config.critic,
        policy,
        heads,
        tau=config.tau,
        budget=training.pass_tokens,
        learning_rate=config.critic_rate,
        seed=training.seed,
        answer_limit=training.answer_limit,
    )
    return {"critic": critic, "replay": Replay(capacity=config.capacity)}


def train(training: Training, config: Config) -> None:
    """Play into the buffer, fit the critic, teach the actor, log, evaluate, save."""
    critic, replay = kept(training)
    begins = config.begins(recorded=bool(training.config.data.runs))
    with Experience(training, replay, gamma=config.gamma, window=config.critic_window, plays=begins < np.inf) as played:
        for step in training.steps():
            episodes = played.play(step) if step >= begins else []
            critic.measure(played.returns())
            draw = np.random.default_rng(derive(training.config.seed, "replay", step))
            with training.timed("critic"):
                training.report(fit_critic(training, config, draw))
            if step <= config.bc_steps:
                imitate(training, config, draw, step, episodes)
            elif step > config.bc_steps + config.critic_warmup:
                teach(training, config, draw, step, episodes)
            training.finish(step)


def kept(training: Training) -> tuple[TurnCritic, Replay]:
    """What the run keeps beside its policy."""
    critic, replay = training.parts["critic"], training.parts["replay"]
    assert isinstance(critic, TurnCritic)
    assert isinstance(replay, Replay)
    return critic, replay


def drawn(training: Training, config: Config, draw: np.random.Generator, number: int) -> Transitions:
    """Turns of the buffer, each as likely as any other."""
    _, replay = kept(training)
    rows = replay.uniform(draw).draw(number)
    return replay.transitions(rows, gamma=config.gamma, steps=config.n_steps, bootstrap=config.bootstrap)


def fit_critic(training: Training, config: Config, draw: np.random.Generator) -> dict[str, float]:
    """The critic's steps: fresh answers for all of them at once, then towards the targets as they follow."""
    (critic, _), policy = kept(training), training.policy
    turns = drawn(training, config, draw, config.critic_updates * config.critic_batch)
    prompts = [prompt for prompt in turns.prompt for _ in range(config.samples)]
    fresh = fresh_answers(policy, training.agent, prompts, int(draw.integers(2**63)))
    losses = []
    for begin in range(0, len(turns), config.critic_batch):
        here = range(begin, begin + config.critic_batch)
        answers = [fresh.ids[config.samples * turn + k] for turn in here for k in range(config.samples)]
        batch, goals = critic_goals(critic, turns, here, answers, policy.context)
        losses.append(critic.step(batch.sequences, goals))
    found = {f"critic_{name}": float(np.mean([one[name] for one in losses])) for name in losses[0]}
    return found | explained(critic, turns, policy.context)


def imitate(training: Training, config: Config, draw: np.random.Generator, step: int, episodes: list[Episode]) -> None:
    """The actor's steps of the warm-up: it imitates turns of the buffer."""
    turns = drawn(training, config, draw, training.config.minibatches * config.actor_batch)
    rows = imitation_rows(turns.prompt, turns.answer)
    with training.updating(step, episodes, None, rows=rows) as update:
        for batch in update.batches():
            logprob = update.logprobs(batch)
            total, metrics = bc.loss(logprob, batch.mask, tokens=batch.tokens)
            update.backward(batch, logprob, total, metrics)


def teach(training: Training, config: Config, draw: np.random.Generator, step: int, episodes: list[Episode]) -> None:
    """The actor's steps: fresh answers to states of the buffer, judged by the critic."""
    (critic, _), policy = kept(training), training.policy
    turns = drawn(training, config, draw, training.config.minibatches * config.actor_batch)
    fresh = fresh_answers(policy, training.agent, turns.prompt, int(draw.integers(2**63)))
    batch = TurnBatch.of(turns.state, fresh.ids, policy.context)
    with training.timed("values"):
        advantage = advantages(*batch.read(critic))
        credit, expected = batch.on_tokens(advantage), np.zeros(0)
        if config.whiten:
            credit = batch.on_tokens(whitened(advantage, np.ones(len(advantage), bool)))
        if config.baseline:
            expected = batch.baseline(critic)
            critic.step(batch.sequences, batch.baseline_goal(critic, advantage))
            credit = credit - expected
    training.report({"advantage_mean": float(advantage.mean()), "advantage_std": float(advantage.std())})
    rows = policy_rows(turns.prompt, fresh)
    with training.updating(step, episodes, credit, rows=rows) as update:
        for part in update.batches():
            logprob = update.logprobs(part)
            total, metrics = loss(
                logprob, part.old_logprob, part.advantage, part.mask, config, sequences=part.sequences
            )
            update.backward(part, logprob, total, metrics)
