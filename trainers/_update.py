"""The update of one step: minibatches out, losses in, the optimiser stepped where a minibatch is complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.core.seeds import derive
from arena.trainers._batch import Batch, batch_of, shuffled
from arena.trainers._critic import Fitting, numbers_of
from arena.trainers._guards import TrainingDiverged, stop
from arena.trainers._kl import kl
from arena.trainers._metrics import Averages
from arena.trainers._rows import Row
from arena.trainers._shares import passes
from arena.trainers._table import DEMONSTRATOR, POLICY, TurnTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from arena.core.episode import Episode
    from arena.trainers._config import TrainConfig
    from arena.trainers._entropy import Smoothing
    from arena.trainers._optimiser import Optimiser
    from arena.trainers._policy import Policy


class Update:
    """One step's rows, gone through `epochs` times in `minibatches` each.

    Args:
        rows: of scored episodes.
        credit: a number for each token of the table, None for 1 on each.
        demonstrated: the tokens of others train, not the policy's own.
        rate: the learning rate.
        temperature: of the sampling.
        reference: log-probabilities under the reference policy, where there is a KL term.
        table: the turns that the tokens belong to.
        smoothing: EPO's, where it is asked for.
        fitting: what is fitted beside the policy.
    """

    def __init__(
        self,
        config: TrainConfig,
        policy: Policy,
        optimiser: Optimiser,
        *,
        step: int,
        rows: Sequence[Row],
        episodes: Sequence[Episode],
        credit: NDArray[np.float64] | None,
        rate: float,
        temperature: float,
        folder: Path,
        reference: Callable[[Batch], Tensor] | None = None,
        table: TurnTable | None = None,
        smoothing: Smoothing | None = None,
        fitting: Fitting | None = None,
        demonstrated: bool = False,
    ) -> None:
        self._config, self._policy, self._optimiser = config, policy, optimiser
        self._step, self._rows, self._episodes, self._credit = step, rows, episodes, credit
        self._rate, self._temperature, self._folder, self._reference = rate, temperature, folder, reference
        self._turns = None if table is None else np.repeat(table.turn, np.diff(table.token_offsets))
        self._smoothing, self._fitting = smoothing, fitting
        self._producers = (DEMONSTRATOR,) if demonstrated else (POLICY,)
        self._ranks = policy.ranks
        self._averages, self._norms = Averages(), list[float]()
        self._broken: tuple[Batch, Tensor] | None = None
        self._padded = self._filled = self._trained = 0
        self._entropy: Tensor | None = None

    def batches(self) -> Iterator[Batch]:
        """Padded batches of at most `pass_tokens`. Rows whose credit is 0 everywhere are counted but not computed."""
        config, lengths = self._config, np.array([len(row) for row in self._rows], np.int64)
        weights = np.array([row.trains(self._producers).sum() for row in self._rows])
        teaching = np.array([self._teaches(row) for row in self._rows], bool)
        columns = self._fitting.columns if self._fitting is not None else {}
        known = numbers_of(self._rows, columns)
        pad = self._policy.tokenizer.pad_token_id or 0
        for epoch in range(config.epochs):
            generator = np.random.default_rng(derive(config.seed, "order", self._step, epoch))
            for group in shuffled(len(self._rows), config.minibatches, generator):
                cut = passes(group[teaching[group]], lengths, config.pass_tokens, self._ranks)
                for number, (part, spare) in enumerate(cut):
                    self._padded += len(part) * int(lengths[part].max())
                    self._filled += 0 if spare else int(lengths[part].sum())
                    self._trained += 0 if spare else int(weights[part].sum())
                    yield batch_of(
                        [self._rows[int(place)] for place in part],
                        self._credit,
                        pad=pad,
                        device=self._policy.device,
                        producers=self._producers,
                        tokens=float(weights[group].sum()),
                        sequences=float((weights[group] > 0).sum()),
                        completes=number == len(cut) - 1,
                        spare=spare,
                        columns=columns,
                        counts={name: float(each[group].sum()) for name, each in known.items()},
                    )

    def _teaches(self, row: Row) -> bool:
        if (
            self._credit is None
            or self._fitting is not None
            or self._config.entropy_bonus
            or self._reference is not None
        ):
            return bool(row.trains(self._producers).any())
        return bool((self._credit[row.source[row.trains(self._producers)]] != 0).any())

    def logprobs(self, batch: Batch) -> Tensor:
        """Log-probabilities of the tokens that train (B, L), with gradients."""
        fitting = self._fitting
        with self._ranks.guarded(), fitting.watching() if fitting is not None else contextlib.nullcontext():
            found, self._entropy = self._policy.logprobs(
                batch.ids,
                batch.attention,
                batch.mask,
                self._temperature,
                entropy_grad=self._config.entropy_bonus > 0,
            )
        return found

    def values(self, batch: Batch) -> Tensor:
        """The critic's values, in its unit, where the batch has `returns`, and 0 elsewhere (B, L); after `logprobs`."""
        assert self._fitting is not None, "this update has no critic"
        return self._fitting.fit.values(batch, batch.columns["returns"].isfinite())

    def value_errors(self, batch: Batch) -> Tensor:
        """The critic's own loss where the batch has `returns`, towards those, and 0 elsewhere (B, L)."""
        assert self._fitting is not None, "this update has no critic"
        return self._fitting.fit.errors(batch, batch.columns["returns"])

    def backward(self, batch: Batch, logprob: Tensor | None, loss: Tensor, metrics: Mapping[str, float]) -> None:
        """Add the gradients of a batch's loss; the last batch of a minibatch makes the optimiser step.

        Args:
            batch: as it came from `batches`.
            logprob: the policy's, of its tokens (B, L); None where only the critic is trained and nobody asked.
            loss: of the batch.
            metrics: means over its tokens.

        Raises:
            TrainingDiverged: the loss or the gradient of the minibatch is not finite.
            RankFailed: so on another rank.
            RankLost: a rank has ended.
        """
        share = float(batch.mask.sum())
        total, more = (loss, {}) if logprob is None else self._with_bonuses(batch, logprob, loss)
        if batch.spare:
            total = total * 0.0
        elif not np.isfinite(float(total.detach())):
            # Its gradient is no number either, so the optimiser will not step, on any rank.
            self._broken, total = self._broken or (batch, _shown(batch, logprob)), total * np.nan
        with self._ranks.guarded():
            total.backward()
        self._optimiser.accumulate()
        if self._fitting is not None:
            self._fitting.fit.accumulate()
        if not batch.spare:
            self._averages.add({**metrics, **more, "loss": float(loss.detach()) * batch.weight}, share)
        if batch.completes:
            self._step_all()
            if not np.isfinite(self._norms[-1]):
                self._diverged(batch, _shown(batch, logprob))

    def _with_bonuses(self, batch: Batch, logprob: Tensor, loss: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss with the entropy bonus and the KL term, and what they came to."""
        assert self._entropy is not None, "logprobs comes first"
        entropy = (self._entropy * batch.mask).sum() / batch.tokens
        total = loss - self._config.entropy_bonus * entropy
        share = float(batch.mask.sum())
        more = {"entropy": float(entropy.detach()) * batch.weight}
        if self._smoothing is not None and self._turns is not None and not batch.spare:
            penalty = self._smoothing.penalty(self._entropy, self._turn_of(batch), batch.mask)
            total = total + self._config.entropy_bonus * penalty / batch.tokens
            more["entropy_penalty"] = float(penalty.detach()) / share
        if self._reference is not None:
            divergence = kl(logprob, self._reference(batch), self._config.kl_estimator) * batch.mask
            total = total + self._config.kl * divergence.sum() / batch.tokens
            more["kl"] = float(divergence.detach().sum()) / share
        return total, more

    def _step_all(self) -> None:
        """Step what is fitted, and the policy unless it is frozen; a norm that is not finite is noted for both."""
        norm = 0.0
        if self._fitting is not None:
            norm = self._fitting.step(self._rate / self._optimiser.learning_rate)
            if self._fitting.frozen:
                self._norms.append(0.0 if np.isfinite(norm) else norm)
                return
        own = self._optimiser.step(self._rate)
        self._norms.append(own if np.isfinite(norm) else norm)

    def _turn_of(self, batch: Batch) -> Tensor:
        """The turn that each token was sampled in, -1 on those that do not train (B, L)."""
        import torch

        assert self._turns is not None, "a table of turns comes with the episodes"
        turns = np.full(tuple(batch.mask.shape), -1, np.int64)
        for number, row in enumerate(batch.rows):
            turns[number, : len(row)] = np.where(row.source >= 0, self._turns[row.source], -1)
        return torch.from_numpy(turns).to(batch.mask.device)

    def _diverged(self, batch: Batch, logprob: Tensor) -> None:
        """Stop all ranks; the one with the first broken batch saves it and names the turn."""
        broken = self._ranks.exchange(self._broken is not None)
        with self._ranks.together():
            if self._ranks.number == (broken.index(True) if any(broken) else 0):
                batch, logprob = self._broken or (batch, logprob)
                stop(batch, logprob, step=self._step, folder=self._folder, episodes=self._episodes, turns=self._turns)

    def metrics(self) -> dict[str, Any]:
        """What the step came to."""
        self._averages.add_up(self._ranks)
        padded, filled, trained = map(
            sum, zip(*self._ranks.exchange((self._padded, self._filled, self._trained)), strict=True)
        )
        return {
            "loss": 0.0,
            **self._averages.means(),
            **(self._fitting.metrics() if self._fitting is not None else {}),
            "grad_norm": float(np.mean(self._norms)) if self._norms else 0.0,
            "learning_rate": self._rate,
            "optimiser_steps": len(self._norms),
            "rows": len(self._rows),
            "trained_tokens": trained,
            "computed_tokens": filled,
            "padding_waste": 1 - filled / padded if padded else 0.0,
        }


def _shown(batch: Batch, logprob: Tensor | None) -> Tensor:
    """What is saved of a broken batch."""
    return batch.mask * 0 if logprob is None else logprob.detach()


__all__ = ["TrainingDiverged", "Update"]
