"""Several processes that train one policy, as torchrun starts them: one per GPU, on one or more machines.

    torchrun --nproc-per-node=4 -m arena.cli train gigpo --env arena/Maze-v0 --model ./my-model

A rank is one of the processes. What is divided among them is the work: each plays whole groups, its share
of a step's tasks, and computes its share of each minibatch's rows. What is not divided is what they know:
after playing, every rank has the episodes of all, so the table of turns, its statistics, the credit, the
order of the rows and the token counts that losses are divided by are computed by each of them, alike, over
the whole batch. An algorithm's loop therefore takes the same course on every rank, whatever it decides by,
and reads as if there were one. (Episodes are small beside weights.)

Ranks meet at two kinds of places, and never inside a rollout, whose length differs:
- `exchange`: each gives a value and receives all. It runs on the CPU (gloo) however the weights are held,
  waits as long as the slowest rank plays, and ends as soon as a rank does.
- sums of gradients and the gathering of weights (FSDP; nccl on GPUs), directly after an exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from arena.core.errors import ArenaError, InfrastructureError
from arena.trainers._watch import Lost, Watch

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_PATIENCE = timedelta(days=7)
"""How long an exchange waits: some ranks may play for hours longer than others, and a dead one is noticed anyway."""

_NEWS = 5.0
"""Seconds from a broken collective to the news of the rank that broke it."""

_GIVEN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class RankLost(InfrastructureError):
    """Another rank ended before its time; says which and why."""


class RankFailed(ArenaError):
    """What was done together failed on another rank; says which and why."""


class Ranks:
    """The ranks of a training, seen from one of them. `Ranks()` is a process alone; `Ranks.join()` asks torchrun.

    Attributes:
        number: of this one, from 0.
        size: how many there are.
        resume: how to go on after a rank was lost, once that is known.
    """

    def __init__(self, number: int = 0, size: int = 1, group: Any = None, watch: Watch | None = None) -> None:
        self.number, self.size = number, size
        self.resume = ""
        self._group, self._watch = group, watch
        self._meshes: dict[str, Any] = {}
        self._left = False

    @classmethod
    def join(cls) -> Ranks:
        """The ranks that torchrun started this process among; alone where it did not."""
        if not all(name in os.environ for name in _GIVEN) or os.environ["WORLD_SIZE"] == "1":
            return cls()
        import torch
        import torch.distributed as dist

        number, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        gpus = torch.cuda.device_count()
        if gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
        group: Any = dist.new_group(backend="gloo", timeout=_PATIENCE)
        ranks = cls(number, size, group)
        here = os.environ.get("LOCAL_WORLD_SIZE") == str(size)
        ranks._watch = Watch.connect(number, size, None if here else os.environ["MASTER_ADDR"], ranks.exchange)
        return ranks

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes what is written once."""
        return self.number == 0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    @property
    def lost(self) -> Lost | None:
        """The first rank known to have ended before its time."""
        return self._watch.lost if self._watch is not None else None

    @property
    def speaks(self) -> bool:
        """Whether this rank is the one that talks to the person: rank 0, or rank 1 after rank 0 was lost."""
        return self.number == (1 if self.lost is not None and self.lost.rank == 0 else 0)

    def exchange(self, value: T) -> list[T]:
        """Give a value to all ranks; returns those of all, by rank.

        Raises:
            RankLost: a rank has ended.
        """
        if self.alone:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        with self.guarded():
            dist.all_gather_object(found, value, group=self._group)
        return found

    def agreed(self, value: T) -> T:
        """Rank 0's value."""
        return self.exchange(value if self.first else None)[0]  # type: ignore[return-value]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block that succeeds on all ranks or fails on all: those wait at its end for the others.

        Raises:
            RankFailed: it failed on another rank; there the error itself is raised.
            RankLost: a rank has ended.
        """
        failure: Exception | None = None
        try:
            yield
        except RankLost:
            raise
        except Exception as error:
            failure = error
        said = self.exchange(None if failure is None else str(failure) or type(failure).__name__)
        if failure is not None:
            raise failure
        failed = {rank: text for rank, text in enumerate(said) if text is not None}
        if failed:
            rank, text = next(iter(failed.items()))
            others = f" ({len(failed) - 1} more ranks failed.)" if len(failed) > 1 else ""
            raise RankFailed(f"Rank {rank}: {text}{others}")

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Around collectives: where one breaks because a rank has ended, say that instead.

        Raises:
            RankLost: a rank has ended.
        """
        try:
            yield
        except RuntimeError as error:
            if self._watch is None or not self._watch.heard.wait(_NEWS):
                raise
            raise self._loss() from error

    def dealt(self, things: Sequence[T]) -> Sequence[T]:
        """This rank's share, as even as it goes."""
        return things[self.number :: self.size]

    async def watching(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work that talks to no rank; it is cancelled where one ends meanwhile.

        Raises:
            RankLost: a rank has ended.
        """
        if self._watch is None:
            return await work
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        with self._watch.interrupting(lambda: loop.call_soon_threadsafe(task.cancel)):
            try:
                return await task
            except asyncio.CancelledError:
                if self.lost is None:
                    raise
                raise self._loss() from None

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, in place; in equal order and shape on all of them."""
        if self.alone:
            return
        import torch
        import torch.distributed as dist

        every = list(tensors)
        if not every:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in every])
        with self.guarded():
            dist.all_reduce(flat)
        for tensor, summed in zip(every, flat.split([tensor.numel() for tensor in every]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def mesh(self, device: str) -> Any:
        """The ranks as torch's device mesh of one dimension."""
        from torch.distributed.device_mesh import init_device_mesh

        if device not in self._meshes:
            self._meshes[device] = init_device_mesh(device, (self.size,))
        return self._meshes[device]

    def close(self, error: BaseException | None = None) -> None:
        """Leave; with an error, the others are told and end too. A second call does nothing."""
        if self._watch is None or self._left:
            return
        self._left = True
        self._watch.close(None if error is None else str(error) or type(error).__name__)
        if error is None:
            import torch.distributed as dist

            dist.destroy_process_group()

    def __enter__(self) -> Ranks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    def _loss(self) -> RankLost:
        return RankLost(f"{self.lost or 'A rank ended'}. All ranks stop. {self.resume}".rstrip())


__all__ = ["RankFailed", "RankLost", "Ranks"]
