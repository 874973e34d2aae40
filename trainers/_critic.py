"""A critic that is fitted beside a policy: made, read, stepped, saved.

Shapes: B rows of a batch, L tokens of its longest row, H width of the hidden states.

The value of a token is what the conversation is worth before it is sampled: it is read at the token before
it, so it depends on nothing that comes later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.trainers._batch import on_rows, parts
from arena.trainers._optimiser import Optimiser, OptimiserOptions
from arena.trainers._rows import NOWHERE, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from arena.agents.models.critic import Critic
    from arena.trainers._batch import Batch
    from arena.trainers._policy import Policy
    from arena.trainers._segments import Floats, Integers

_SMALL = 30_000_000


class Fit:
    """A critic and its optimiser, next to a policy whose ids it reads.

    Attributes:
        critic: what is fitted.
        policy: its hidden states are read where the critic has no trunk of its own.
        learning_rate: at the start; it takes the course of the policy's.
    """

    def __init__(
        self, critic: Critic, policy: Policy, *, learning_rate: float | None = None, detach: bool = False
    ) -> None:
        """`detach`: no gradient flows into the policy's trunk. The rate is 1e-3, 1e-5 with over 30 M parameters."""
        self.critic, self.policy, self._detach = critic, policy, detach
        parameters = dict(critic.named_parameters())
        number = sum(parameter.numel() for parameter in parameters.values())
        self.learning_rate = learning_rate or (1e-3 if number < _SMALL else 1e-5)
        options = OptimiserOptions(learning_rate=self.learning_rate)
        self._optimiser = Optimiser(parameters, options, ranks=policy.ranks)
        self._hidden: Tensor | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, the policy's forward pass that trains keeps the hidden states that the heads read."""
        if self.critic.trunk is not None:
            yield
            return
        from arena.agents.models.critic import trunk_of

        def keep(module: Any, given: Any, output: Any) -> None:
            self._hidden = output.last_hidden_state

        hook = trunk_of(self.policy.learner).register_forward_hook(keep)
        try:
            yield
        finally:
            hook.remove()

    def scores(self, batch: Batch, where: Tensor, head: str = "value") -> Tensor:
        """A head's scores before the tokens of a batch where `where` (B, L) is set, in order, with gradients."""
        found: Tensor = self.critic.heads[head](self.states(batch, where))
        return found

    def states(self, batch: Batch, where: Tensor) -> Tensor:
        """What all heads read before the M tokens of a batch where `where` (B, L) is set: (M, H), with gradients.

        Where the policy's trunk is read, that is the pass of `watching` just before.
        """
        if self.critic.trunk is None:
            assert self._hidden is not None, "the policy's forward pass comes first"
            hidden, self._hidden = self._hidden.detach() if self._detach else self._hidden, None
        else:
            hidden = self.critic.hidden(batch.ids, batch.attention)
        found: Tensor = hidden[:, :-1][where[:, 1:]]
        return found

    def values(self, batch: Batch, where: Tensor, head: str = "value") -> Tensor:
        """The values themselves, in the head's unit (`in_unit`): (B, L), 0 where `where` is not set."""
        import torch

        read: Any = self.critic.heads[head]
        found = read.in_unit(read.value(self.scores(batch, where, head)))
        return torch.zeros(where.shape, device=found.device).masked_scatter(where, found)

    def errors(self, batch: Batch, target: Tensor, head: str = "value") -> Tensor:
        """A head's own loss towards a target in its unit, NaN where there is none: (B, L), 0 there."""
        import torch

        where, read = target.isfinite(), self.critic.heads[head]
        wanted = read.unit[0] + read.unit[1] * target[where]
        found = read.loss(self.scores(batch, where, head), wanted)
        return torch.zeros(where.shape, device=found.device).masked_scatter(where, found)

    def in_unit(self, values: Floats, head: str = "value") -> Floats:
        """Values or returns in a head's unit, in which errors are about 1 whatever the rewards."""
        location, scale = self.critic.heads[head].unit.tolist()
        found: Floats = (values - location) / scale
        return found

    def measure(self, returns: Floats, head: str = "value") -> None:
        """Take a head's unit from returns, if it has learned nothing yet.

        Raises:
            UsageError: the bins of a classifying head do not hold them.
        """
        import torch

        read: Any = self.critic.heads[head]
        if not bool(read.last.weight.any()):
            read.options.check_range(returns)
        read.measure(torch.from_numpy(returns))

    def read(
        self,
        sequences: Sequence[NDArray[np.int64]],
        places: Sequence[Integers],
        budget: int,
        head: str | Sequence[str] = "value",
        outputs: Sequence[Integers] | None = None,
    ) -> list[Floats]:
        """Values after the tokens at these places of each sequence, without gradients; ranks share the work.

        Args:
            sequences: token ids.
            places: for each sequence, indices of its tokens.
            budget: padded tokens of one forward pass.
            head: which head; of several the least.
            outputs: for each place, which output of a head that has several.
        """
        import torch

        from arena.agents.models.critic_scores import least

        ranks, found = self.policy.ranks, [np.zeros(0)] * len(sequences)
        lengths = np.array([len(ids) for ids in sequences], np.int64)
        asked = np.array([number for number, some in enumerate(places) if len(some)], np.int64)
        heads = [head] if isinstance(head, str) else head
        with torch.no_grad():
            own: dict[int, Floats] = {}
            for part in parts(asked[ranks.number :: ranks.size], lengths, budget):
                hidden = self._states([sequences[number] for number in part])
                for row, number in enumerate(part.tolist()):
                    here = torch.from_numpy(places[number]).to(hidden.device)
                    values = least(self.critic, heads, hidden[row, here]).double()
                    if outputs is not None:
                        values = values.gather(-1, torch.from_numpy(outputs[number]).to(values.device)[:, None])[:, 0]
                    own[number] = values.cpu().numpy()
        for share in ranks.exchange(own):
            for number, values in share.items():
                found[number] = values
        return found

    def before(self, rows: Sequence[Row], tokens: int, budget: int, head: str | Sequence[str] = "value") -> Floats:
        """The value before each token of the table that somebody sampled, NaN on the others (N).

        Of a head with an output for each token of the vocabulary it is the output of that token.
        """
        places = [np.flatnonzero(row.source != NOWHERE) for row in rows]
        several = self.critic.heads[head if isinstance(head, str) else head[0]].options.outputs > 1
        taken = [row.ids[some] for row, some in zip(rows, places, strict=True)] if several else None
        values = self.read([row.ids for row in rows], [some - 1 for some in places], budget, head, taken)
        found = np.full(tokens, np.nan)
        for row, here, some in zip(rows, places, values, strict=True):
            found[row.source[here]] = some
        return found

    def _states(self, sequences: Sequence[NDArray[np.int64]]) -> Tensor:
        """The hidden states of sequences, padded on the right (B, L, H)."""
        import torch

        from arena.agents.models.critic import hidden_states, trunk_of

        shape = (len(sequences), max(map(len, sequences)))
        ids = torch.full(shape, self.policy.tokenizer.pad_token_id or 0)
        attention = torch.zeros(shape, dtype=torch.long)
        for row, one in enumerate(sequences):
            ids[row, : len(one)], attention[row, : len(one)] = torch.from_numpy(np.asarray(one)), 1
        ids, attention = ids.to(self.policy.device), attention.to(self.policy.device)
        trunk = self.critic.trunk if self.critic.trunk is not None else trunk_of(self.policy.network)
        return hidden_states(trunk, ids, attention)

    def accumulate(self) -> None:
        """Take in the gradients of a backward pass."""
        self._optimiser.accumulate()

    def step(self, share: float) -> float:
        """Make a step at this share of the learning rate; returns the gradients' norm before it was cut."""
        return self._optimiser.step(share * self.learning_rate)

    def save(self, folder: Path) -> None:
        """Its weights and its optimiser's state; the policy's trunk is in the policy's own folder."""
        from safetensors.torch import save_file

        self.critic.save(folder, tokenizer=self.policy.tokenizer)
        state = {name: value.contiguous() for name, value in self._optimiser.state().items()}
        save_file(state, folder / "optimiser.safetensors")

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        from safetensors.torch import load_file

        from arena.agents.models.critic import Critic

        dtype = str(self.policy.network.dtype).removeprefix("torch.")
        saved = Critic.load(folder, device=str(self.policy.device), dtype=dtype, network=self.policy.network)
        self.critic.load_state_dict(saved.state_dict())
        self._optimiser.restore(load_file(folder / "optimiser.safetensors").items())

    def publish(self, folder: Path) -> None:
        """A critic that stands alone: with a copy of the policy's trunk where it reads that."""
        import shutil

        from arena.agents.models.critic import trunk_of
        from arena.trainers._policy import replace_folder

        fresh = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self.critic.save(fresh, trunk=trunk_of(self.policy.merged()), tokenizer=self.policy.tokenizer)
        replace_folder(fresh, folder)


@dataclass(eq=False)
class Fitting:
    """What a critic is fitted to in one step.

    Attributes:
        fit: the critic.
        columns: numbers for each token of the table (N each), in the critic's unit and NaN where there are none:
            the targets as `returns`, the values before the step as `values`.
        frozen: the policy stays as it is.
    """

    fit: Fit
    columns: Mapping[str, Floats]
    frozen: bool = False
    norms: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Around the policy's forward pass, which has no gradients where the policy is frozen."""
        import torch

        with self.fit.watching(), torch.no_grad() if self.frozen else contextlib.nullcontext():
            yield

    def step(self, share: float) -> float:
        """Make a step of the critic's optimiser; returns the gradients' norm."""
        self.norms.append(self.fit.step(share))
        return self.norms[-1]

    def metrics(self) -> dict[str, float]:
        """What the step came to."""
        return {
            "explained_variance": explained_variance(self.columns["values"], self.columns["returns"]),
            "critic_grad_norm": float(np.mean(self.norms)) if self.norms else 0.0,
        }


def explained_variance(values: Floats, returns: Floats) -> float:
    """1 - Var(returns - values) / Var(returns) where there are both; NaN where the returns do not vary."""
    known = ~np.isnan(returns + values)
    spread = float(returns[known].var()) if known.any() else 0.0
    return 1 - float((returns - values)[known].var()) / spread if spread else float("nan")


def numbers_of(rows: Sequence[Row], columns: Mapping[str, Floats]) -> dict[str, Integers]:
    """How many numbers other than NaN each row has of each column."""
    return {
        name: np.array([np.isfinite(on_rows([row], column)).sum() for row in rows], np.int64)
        for name, column in columns.items()
    }


__all__ = ["Fit", "Fitting", "explained_variance", "numbers_of"]
