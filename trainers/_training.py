"""A training run: what the visible loop of each algorithm calls, one plain step after the other.

    for step in training.steps():
        episodes = training.collect(step)
        table = training.table(episodes)        their turns, with rewards as `shaping` has them
        …                                       the algorithm's credit
        with training.updating(step, episodes, credit, table=table) as update:
            for batch in update.batches():
                …                               the algorithm's loss
        training.finish(step)                   log, evaluate every n steps, checkpoint

The run folder is an ordinary run: every training episode is in it (`arena replay`, `arena view`), under
`evaluations/` stands one run per evaluation, `model/` is the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.agents import build as build_agent
from arena.core.errors import ArenaError, UsageError
from arena.records import RunWriter, withdraw_run
from arena.rollout import RecordedModel
from arena.trainers import _checkpoint
from arena.trainers._algorithms import algorithm, read_settings
from arena.trainers._collect import Collected, Informative, check_logprobs
from arena.trainers._config import TrainConfig
from arena.trainers._critic import Fitting
from arena.trainers._data import Data, read_data
from arena.trainers._entropy import Smoothing
from arena.trainers._guards import warnings
from arena.trainers._held_out import evaluate_on_one_rank
from arena.trainers._metrics import MetricsFile, magnitudes, of_credit, of_episodes, rates
from arena.trainers._opening import Opened, open_again, open_new
from arena.trainers._optimiser import Optimiser
from arena.trainers._policy import Policy
from arena.trainers._ranks import RankLost, Ranks
from arena.trainers._reference import Reference
from arena.trainers._remote import open_sampler
from arena.trainers._rollouts import Rollouts
from arena.trainers._rows import Row, scored_rows
from arena.trainers._shaping import shaped
from arena.trainers._start import sampling_temperature
from arena.trainers._table import TurnTable
from arena.trainers._tasks import TaskStream, environments, training_tasks
from arena.trainers._trackers import open_tracker
from arena.trainers._update import Update

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from arena.core.agent import Agent
    from arena.core.episode import Episode
    from arena.core.model import Model
    from arena.rollout.engine import Writer
    from arena.trainers._checkpoint import Part

Said = Callable[[str], None]


class Training:
    """One run of one algorithm; made by `start` and `resume`, and closed at the end.

    Attributes:
        config: what it was told.
        folder: the run folder.
        policy: what is trained.
        agent: plays with it.
        done: steps that are finished.
        stopping: set it to end after the step at work, with a checkpoint.
        metrics: everything measured.
        parts: what the algorithm keeps besides the policy, saved with each checkpoint: see its `parts`.
        ranks: who trains together; rank 0 writes what is written once, and evaluates.
        reference: the policy that the run began with.
        guide: makes the model that evaluations are played with, where it is not the policy alone.
        on_progress, on_notice: receive a line on where it stands, and what a person should know.
    """

    def __init__(
        self, config: TrainConfig, writer: RunWriter, policy: Policy, parts: Mapping[str, Part], done: int = 0
    ) -> None:
        self.config, self.folder, self.policy, self.done = config, writer.folder, policy, done
        self.parts, self.stopping = parts, False
        self.guide: Callable[[], Model] | None = None
        self.on_progress: Said = _silent
        self.on_notice: Said = _silent
        self.ranks = policy.ranks
        self.ranks.resume = f"The last checkpoint stands; go on with: arena train --resume {self.folder}"
        self.metrics = MetricsFile(self.folder, until=done, writes=self.ranks.first)
        pool = training_tasks(config)
        self._envs = environments(pool)
        self._tasks = TaskStream(pool, config.curriculum, config.seed)
        self._sampler = open_sampler(config, policy, self.folder, writer, self._tasks.state)
        self.agent = self.make_agent(RecordedModel(self._sampler.model))
        self.temperature = sampling_temperature(self.agent, policy, config.algorithm)
        self._writer = writer
        self._rollouts = Rollouts(config, self._tasks, writer, self.ranks, self._sampler.cancellable, self._show)
        adapters = bool(config.policy.lora_rank)
        self._optimiser = Optimiser(policy.parameters(), config.optimiser, adapters=adapters, ranks=self.ranks)
        self._smoothing = Smoothing(config.smoothing, config.steps)
        tracker = config.tracker if self.ranks.first else None
        self._tracker = open_tracker(tracker, config.project, self.folder, config.model_dump(), done)
        self._line: dict[str, Any] = {}
        self._played: list[Episode] = []
        self._offsets = writer.offsets()
        self._saved, self._fresh = done, False
        self.reference = Reference(config, policy, self.temperature)

    @classmethod
    def start(cls, config: TrainConfig, out: str | Path | None = None, ranks: Ranks | None = None) -> Training:
        """Begin a run; everything that can be known to be wrong is told before anything is written.

        Args:
            config: what it is told.
            out: the run folder; else one named by the time.
            ranks: who trains together (`Ranks.join()` under torchrun); alone unless told.

        Raises:
            UsageError, MissingPrerequisite: what does not fit, and what to do.
        """
        return cls._of(open_new(config, out, ranks or Ranks()))

    @classmethod
    def resume(cls, folder: str | Path, ranks: Ranks | None = None) -> Training:
        """Go on with a run from its newest checkpoint; what was done after it counts no more.

        Args:
            folder: the run.
            ranks: who trains together now; there may have been more or fewer. Alone unless told.

        Raises:
            UsageError: no training run there.
            ResumeRefused: packages of the environment have changed since.
        """
        return cls._of(open_again(folder, ranks or Ranks()))

    @classmethod
    def _of(cls, opened: Opened) -> Training:
        try:
            done = opened.checkpoint[1].step if opened.checkpoint else 0
            training = cls(opened.config, opened.writer, opened.policy, opened.parts, done)
            training._fresh = opened.fresh
            training._begin(opened.checkpoint)
        except BaseException:
            opened.writer.close()
            raise
        return training

    def _begin(self, checkpoint: tuple[Path, _checkpoint.State] | None) -> None:
        """Save the beginning, or become what a checkpoint holds."""
        if checkpoint is None:
            self._become_version("step-0")
            self._save()
            return
        path, state = checkpoint
        with self.ranks.together():
            _checkpoint.load_optimiser(path, self._optimiser)
        self._become_version(state.version)
        self._tasks.restore(state.loop["tasks"])
        self._smoothing.restore(state.loop["entropy"])

    def run(self) -> None:
        """The algorithm's own loop, from here to the end."""
        if not self.policy.has_pad:
            self.note(_NO_PAD)
        settings = read_settings(self.config.algorithm, self.config.settings)
        algorithm(self.config.algorithm).module.train(self, settings)

    def recorded(self) -> Data | None:
        """The recorded episodes that `data` names, None where it names no runs; says what each filter left."""
        return read_data(self.config.data, self._envs, self.note) if self.config.data.runs else None

    def steps(self) -> Iterator[int]:
        """The numbers of the steps that are left, from 1; evaluates before the first and saves the model at the end."""
        if self.done == 0 and self.config.eval_every and not self.metrics.evaluations:
            self._tracker.log(self.metrics.add({"step": 0, "eval": self.evaluate(0)}))
        while self.done < self.config.steps and not any(self.ranks.exchange(self.stopping)):
            self._line = {"step": self.done + 1, "seconds": {}}
            yield self.done + 1
        if self._saved != self.done:
            self._save()
        if self.done == self.config.steps:
            with self.ranks.together():
                if self.ranks.first:
                    _checkpoint.publish(self.folder, self.policy, self.parts)

    def collect(
        self,
        step: int,
        agent: Agent | None = None,
        group_size: int | None = None,
        *,
        informative: Informative | None = None,
        rounds: int = 1,
    ) -> list[Episode]:
        """Play the groups of a step: each task `group_size` times with one seed, all of them recorded.

        Args:
            step: from 1.
            agent: who plays; the policy's unless told.
            group_size: the configuration's unless told.
            informative: the turns of groups that teach something; the other groups are dropped and tasks
                sampled in their place (dynamic sampling).
            rounds: how often groups are then sampled at most until there are enough.

        Raises:
            ArenaError: too many episodes could not be scored; the run is saved as it was before the step.
        """
        size, player = group_size or self.config.group_size, agent or self.agent

        def gather(step: int, writer: Writer) -> Collected:
            return self._rollouts.groups(step, writer, player, size=size, informative=informative, rounds=rounds)

        with self.timed("sample"), self._saved_if_it_fails(step):
            collected = self._sampler.gather(step, gather)
            kept, stale = self._sampler.fresh(collected.kept, step)
            if algorithm(self.config.algorithm).ratio:
                check_logprobs(collected.played, self.temperature, self.config.algorithm)
        self._played = collected.played
        self._line |= {**collected.metrics(), **stale}
        return kept

    def table(self, episodes: Sequence[Episode]) -> TurnTable:
        """The turns of episodes, with states as `group_by` says and rewards as `shaping` and `kl_in` do."""
        table = TurnTable.from_episodes(episodes, self.config.group_by)
        if self.config.kl_in == "reward":
            with self.timed("reference"):
                table, self._line["kl"] = self.reference.in_reward(table, episodes)
        return shaped(table, episodes, self.config.shaping)

    @contextlib.contextmanager
    def updating(
        self,
        step: int,
        episodes: Sequence[Episode],
        credit: NDArray[np.float64] | None,
        *,
        table: TurnTable | None = None,
        rows: Sequence[Row] | None = None,
        fitting: Fitting | None = None,
        demonstrated: bool = False,
    ) -> Iterator[Update]:
        """The block in which the weights change; nothing is sampled meanwhile.

        Args:
            step: from 1.
            episodes: what is learned from; the unscored ones are left out.
            credit: advantage of each token of `table` (N); None imitates.
            table: the turns of the episodes.
            rows: training rows, where they are not those of the episodes themselves.
            fitting: a critic that is fitted beside the policy.
            demonstrated: the rows' tokens are others'; so it is where nothing is credited.
        """
        rows = scored_rows(episodes, table) if rows is None else rows
        if "episodes" not in self._line and episodes:
            used = {row.episode for row in rows}
            self._line |= of_episodes([episode for number, episode in enumerate(episodes) if number in used])
        if table is not None and credit is not None:
            self._line |= of_credit(table, credit)
            self._tasks.learn(magnitudes(self._played, episodes, table, credit))
            self._line |= self._tasks.metrics()
        rows, credit, differing = self._sampler.corrected(rows, credit, self.temperature)
        config = self.config
        update = Update(
            config,
            self.policy,
            self._optimiser,
            step=step,
            rows=rows,
            episodes=episodes,
            credit=credit,
            rate=config.optimiser.rate(self._optimiser.learning_rate, step - 1, config.steps),
            temperature=self.temperature,
            folder=self.folder,
            reference=self.reference.logprobs if config.kl and config.kl_in == "loss" else None,
            table=table,
            smoothing=self._smoothing if self._smoothing.active else None,
            fitting=fitting,
            demonstrated=demonstrated or credit is None,
        )
        self._smoothing.begin(step)
        with self.timed("update"), self.policy.updating(f"step-{step}"):
            self._show("updating")
            yield update
        self._smoothing.end(self.ranks)
        self._line |= {**update.metrics(), **differing}
        if config.sampler is not None:
            with self.timed("push"):
                self._sampler.publish(f"step-{step}")

    def report(self, found: Mapping[str, float]) -> None:
        """Add numbers to what is logged of the step."""
        self._line |= found

    def finish(self, step: int) -> None:
        """Log the step, evaluate and save where it is time."""
        config, line = self.config, self._line
        if config.eval_every and (step % config.eval_every == 0 or step == config.steps):
            with self.timed("evaluate"):
                line["eval"] = self.evaluate(step)
        line["rates"] = rates(line)
        self._tracker.log(self.metrics.add(line))
        self.done = step
        self._writer.sync()
        self._offsets = {k: v for found in self.ranks.exchange(self._writer.offsets()) for k, v in found.items()}
        for warning in warnings(self.metrics.steps):
            self.note(warning)
        if step % config.checkpoint_every == 0 or step == config.steps:
            self._save()
        self._show("done")

    def evaluate(self, step: int) -> dict[str, Any]:
        """Play the held-out tasks once each; returns success and score with their 95 % intervals."""
        self._show("evaluating")
        model = self.guide or self._sampler.model
        return evaluate_on_one_rank(self.config, model, self.folder, step, self.ranks, show=self._show)

    def close(self) -> None:
        """Let go of the run, of the tracker and of the model's thread."""
        self._sampler.close()
        self._tracker.close()
        self._writer.close()
        asyncio.run(self.policy.model.aclose())

    def __enter__(self) -> Training:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()
        if self._fresh and self.ranks.first and isinstance(error, UsageError) and not self.metrics.lines:
            withdraw_run(self.folder)

    def make_agent(self, model: Any) -> Agent:
        """The agent that is trained, with another model."""
        return build_agent(self.config.agent, model)

    def _become_version(self, version: str) -> None:
        with self.policy.updating(version):
            pass
        self._sampler.publish(version)

    def _save(self) -> None:
        self._writer.sync()
        loop = {"tasks": self._sampler.task_state(self.done + 1), "entropy": self._smoothing.state()}
        state = _checkpoint.State(self.done, f"step-{self.done}", self._offsets, loop)
        _checkpoint.save_checkpoint(self.folder, state, self.policy, self._optimiser, self.parts)
        self._saved = self.done

    @contextlib.contextmanager
    def _saved_if_it_fails(self, step: int) -> Iterator[None]:
        """Where a step cannot be played, the steps before it are saved, as they were when it began."""
        before = self._sampler.task_state(step)
        try:
            yield
        except RankLost:
            raise
        except ArenaError:
            self._sampler.close()
            self._tasks.restore(before)
            self._save()
            raise

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the time of the block among the step's `seconds`."""
        begun = time.perf_counter()
        yield
        self._line["seconds"][what] = self._line["seconds"].get(what, 0.0) + time.perf_counter() - begun

    def note(self, text: str) -> None:
        """Tell something that a person should know, and write it into the run's log."""
        self.on_notice(text)
        if self.ranks.first:
            self._writer.log(text)

    def _show(self, doing: str) -> None:
        here = f"step {min(self.done + 1, self.config.steps)}/{self.config.steps}"
        self.on_progress(" · ".join([here, doing, *self.metrics.in_short()]))


_NO_PAD = (
    "The tokenizer has no pad token of its own: batches are filled up with its end of sequence, and masks leave that "
    "out. To have another, name it as pad_token in the model's tokenizer_config.json."
)


def _silent(text: str) -> None:
    pass


__all__ = ["Training"]
