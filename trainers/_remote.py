"""Sampling from a server while the policy is trained here: its weights follow after each update.

    arena train grpo --env arena/Maze-v0 --model ./my-model --sampler tokens:qwen3@http://localhost:8000

The server takes ids and gives ids (`tokens:`, see `arena.agents.models.tokens`), so templates are applied here
with the policy's own tokenizer. After each update the new weights are written to RUN/weights and the server is
told to load them: both must see that folder. With adapters (`policy.lora_rank`) only the adapter is written.

A server computes with other kernels and in other batches than the trainer, and in asynchronous runs with older
weights. `_remote_correction` corrects for both; `_staleness` bounds the second.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from arena.agents.models.tokens import ChatFormat, TokensModel
from arena.core.errors import ArenaError, InfrastructureError, ModelUnavailable, UsageError
from arena.core.messages import Message, Sampling
from arena.core.specs import Spec
from arena.evaluation.evaluate import in_any_thread
from arena.trainers._algorithms import algorithm
from arena.trainers._policy import replace_folder
from arena.trainers._remote_correction import corrected
from arena.trainers._staleness import Ahead, HeldBack, fresh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.core.model import Model
    from arena.rollout.engine import Writer
    from arena.trainers._collect import Collected
    from arena.trainers._config import TrainConfig
    from arena.trainers._policy import Policy
    from arena.trainers._rows import Row

    Credit = NDArray[np.float64] | None
    Found = dict[str, float]
    Gather = Callable[[int, Writer], Collected]

T = TypeVar("T")

_KEPT = 2
"""Weights left in RUN/weights: a server that is slow to read must find its own."""


class Sampler:
    """Who samples the episodes of a training: the policy's own network, unless told otherwise.

    Args:
        policy: what is trained.
        writer: where episodes are recorded.
        tasks: gives the state that a checkpoint keeps of the tasks.

    Attributes:
        model: what agents ask.
    """

    def __init__(self, policy: Policy, writer: Writer, tasks: Callable[[], Any]) -> None:
        self.model: Model = policy.model
        self._writer, self._tasks = writer, tasks

    def publish(self, version: str) -> None:
        """The policy has new weights."""

    def gather(self, step: int, play: Gather) -> Collected:
        """The episodes of a step, played now."""
        return play(step, self._writer)

    def fresh(self, episodes: list[Episode], step: int) -> tuple[list[Episode], dict[str, Any]]:
        """Those that are not too stale to be trained on at a step, and metrics of it."""
        return episodes, {}

    def cancellable(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Work of `play` that may have to end before its time."""
        return work

    def corrected(self, rows: Sequence[Row], credit: Credit, temperature: float) -> tuple[Sequence[Row], Credit, Found]:
        """Rows and credit with what sampler and trainer differ in taken into account, and metrics of it."""
        return rows, credit, {}

    def task_state(self, step: int) -> Any:
        """What a checkpoint keeps of the tasks, from which `step` is played next."""
        return self._tasks()

    def close(self) -> None:
        """Stop what is being played."""


class RemoteSampler(Sampler):
    """A server that is given the weights after each update, and may sample ahead meanwhile.

    Args:
        policy: what is trained.
        config: the run's.
        folder: the run's; weights are handed over in `weights/` below it.
        writer: where episodes are recorded.
        tasks: gives the state that a checkpoint keeps of the tasks.
    """

    def __init__(
        self, policy: Policy, config: TrainConfig, folder: Path, writer: Writer, tasks: Callable[[], Any]
    ) -> None:
        self._served = served_model(policy, config)
        super().__init__(policy, writer, tasks)
        self.model = self._served
        self._policy, self._config = policy, config
        self._folder, self._weights = folder, folder / "weights"
        asked = self._served.push_by
        self._adapter = _has_adapters(policy) if asked is None else asked == "adapter"
        self._held: dict[int, HeldBack] = {}
        ahead = config.max_staleness
        self._ahead: Ahead[Collected] | None = Ahead(ahead, config.steps, tasks) if ahead else None

    def publish(self, version: str) -> None:
        """Write the weights and have the server load them; from then on it samples from `version`.

        Raises:
            ModelUnavailable: the server gave no usable answer after the retries.
            UsageError: it takes no weights.
            InfrastructureError: the weights cannot be written.
        """
        with self._policy.ranks.together():
            if self._policy.ranks.first:
                self._hand_over(version)
        self._served.became(version, adapter=self._adapter)

    def _hand_over(self, version: str) -> None:
        path = self._weights / version
        try:
            write_adapter(self._policy, path) if self._adapter else self._policy.save(path)
        except OSError as error:
            raise InfrastructureError(f"The weights for the server cannot be written to {path}: {error}.") from error
        try:
            in_any_thread(self._served.push(path, version, adapter=self._adapter))
        except ModelUnavailable as error:
            raise ModelUnavailable(f"{error}{self._how_to_go_on()}") from error
        for old in sorted(self._weights.iterdir(), key=lambda found: found.stat().st_mtime_ns)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def _how_to_go_on(self) -> str:
        """To be added to what the server did."""
        if not (self._folder / "checkpoints").exists():
            return ""
        return f"\nOnce the server is back: arena train --resume {self._folder}"

    def gather(self, step: int, play: Gather) -> Collected:
        """The episodes of a step, which may have begun while the steps before it were trained on.

        Raises:
            ArenaError: too many could not be scored; says how to go on once the server is back.
        """
        try:
            if self._ahead is None:
                return play(step, self._writer)
            found = self._ahead.take(step, lambda number: play(number, self._held_back(number)))
        except ArenaError as error:
            if type(error) is not ArenaError:  # not what is said of episodes that were lost
                raise
            raise ArenaError(f"{error}{self._how_to_go_on()}") from error
        self._held.pop(step).release()
        return found

    def _held_back(self, step: int) -> HeldBack:
        return self._held.setdefault(step, HeldBack(self._writer))

    def fresh(self, episodes: list[Episode], step: int) -> tuple[list[Episode], dict[str, Any]]:
        """Those sampled by weights at most `max_staleness` updates old.

        Raises:
            ArenaError: none is left.
        """
        return fresh(episodes, step - 1, self._config.max_staleness)

    def cancellable(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Work that `close` ends, where it is done ahead."""
        return work if self._ahead is None else self._ahead.cancellable(work)

    def corrected(self, rows: Sequence[Row], credit: Credit, temperature: float) -> tuple[Sequence[Row], Credit, Found]:
        """Rows with the trainer's own log-probabilities, and credit weighted by how far the sampler's differ."""
        if credit is None:
            return rows, credit, {}
        config = self._config
        return corrected(
            rows, credit, self._policy, temperature, cap=config.importance_cap, pass_tokens=config.pass_tokens
        )

    def task_state(self, step: int) -> Any:
        """As it was before the step began, which may be going on."""
        return self._tasks() if self._ahead is None else self._ahead.state(step)

    def close(self) -> None:
        """Stop what is being played ahead, and let go of the server."""
        if self._ahead is not None:
            self._ahead.close()
        in_any_thread(self._served.aclose())


def open_sampler(
    config: TrainConfig, policy: Policy, folder: Path, writer: Writer, tasks: Callable[[], Any]
) -> Sampler:
    """Who samples a run's episodes; see `RemoteSampler` for what is given."""
    if config.sampler is None:
        return Sampler(policy, writer, tasks)
    return RemoteSampler(policy, config, folder, writer, tasks)


def served_model(policy: Policy, config: TrainConfig) -> TokensModel:
    """The model that a run's `sampler` names, with the policy's tokenizer, template and context.

    Raises:
        UsageError: it takes no ids, or cannot be given what is trained.
    """
    spec = Spec.parse(config.sampler or "")
    if spec.kind != "tokens":
        raise UsageError(
            f"--sampler {config.sampler} does not take ids, so what it samples cannot be trained on (chat completions "
            "tokenise earlier answers anew). Write tokens:NAME@URL; a vLLM serves it under the name it was given."
        )
    model = TokensModel(spec, ChatFormat.of(policy.tokenizer, policy.network.generation_config, policy.context))
    if model.push_by == "adapter" and not _has_adapters(policy):
        raise UsageError("push=adapter needs adapters to push: set policy.lora_rank, or leave push out.")
    return model


def check_sampler(policy: Policy, config: TrainConfig, agent: Agent, temperature: float) -> None:
    """Ask the server for one token, and refuse what could not be learned from.

    Args:
        policy: what is trained.
        config: the run's.
        agent: who asks.
        temperature: that it comes to.

    Raises:
        UsageError: a wrong kind of server or algorithm, or log-probabilities of another distribution.
        ModelUnavailable: the server does not answer.
    """
    if algorithm(config.algorithm).imitates:
        raise UsageError(f"{config.algorithm} samples nothing, so leave --sampler out.")
    if config.max_staleness and not policy.ranks.alone:
        raise UsageError("max_staleness is for one training process; with torchrun leave it out.")
    model = served_model(policy, config)
    sampling: Sampling = getattr(agent, "sampling", Sampling())
    defaults = policy.network.generation_config
    top_p = sampling.top_p if sampling.top_p is not None else defaults.top_p
    top_k = sampling.top_k if sampling.top_k is not None else defaults.top_k
    cut = (top_p or 1.0) < 1 or (top_k or 0) > 0
    if model.logprob_kind == "raw" and (temperature != 1 or cut):
        what = f"at temperature {temperature:g}" if temperature != 1 else f"with top_p={top_p} and top_k={top_k}"
        raise UsageError(
            f"The server's log-probabilities are of the model itself (raw), and episodes are sampled {what}, which is "
            "another distribution. Start vLLM with --logprobs-mode processed_logprobs and add logprob_kind=sampled to "
            "--sampler, or put temperature=1,top_p=1,top_k=0 into the agent spec."
        )

    async def ask() -> None:
        try:
            await model.complete([Message.of("user", "Hello.")], Sampling(max_tokens=1, temperature=1.0))
        finally:
            await model.aclose()

    in_any_thread(ask())


def write_adapter(policy: Policy, path: Path) -> Path:
    """Write the adapter alone, as peft does; the folder appears whole or not at all."""
    from arena.agents.models._weights import quiet

    fresh = path.with_name(f".{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        policy.network.save_pretrained(fresh)
    replace_folder(fresh, path)
    return path


def _has_adapters(policy: Policy) -> bool:
    return bool(policy.options.lora_rank)


__all__ = ["RemoteSampler", "Sampler", "check_sampler", "open_sampler"]
