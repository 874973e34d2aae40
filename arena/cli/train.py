"""`arena train`: improve a model from its own episodes, or from demonstrations."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli import _options
from arena.cli._console import notice, print_json
from arena.cli._learned import report, save_plots
from arena.cli._local import target_here
from arena.cli._progress import ProgressLine
from arena.core.errors import MissingPrerequisite, UsageError

if TYPE_CHECKING:
    from arena.trainers._config import TrainConfig
    from arena.trainers._ranks import Ranks
    from arena.trainers._training import Training

SUMMARY = "Train a language model with multi-turn RL."
EXAMPLES = (
    "arena train bc --env arena/Maze-v0 --model ./my-model --steps 5 -o runs/cloned",
    "arena train gigpo --env arena/Maze-v0 --model runs/cloned/model --steps 50",
    "arena train grpo --env arena/Wordle-v0 -m Qwen/Qwen3-0.6B -a chat:max_tokens=64 --set policy.lora_rank=16",
    "arena train bc --env arena/Maze-v0 -m ./my-model --data runs/a runs/b --set data.success=true",
    "arena train grpo --env arena/Wordle-v0 -m ./my-model --sampler tokens:qwen3@http://localhost:8000",
    "arena train --resume runs/20260131-120000-gigpo-Maze-v0",
)


def command(
    algorithm: Annotated[
        str | None,
        typer.Argument(
            metavar="ALGORITHM",
            help="gigpo, grpo, rloo, gspo, opo, loop, ppo, archer, reinforce, reinforce_pp; from recorded episodes bc, "
            "awr, ilql, mc, dmpo, a_lol, digirl or offline_archer.",
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="[RUN…]", help="Further runs of --data.")] = None,
    env: Annotated[str | None, typer.Option(metavar="ENV", help="Environment or suite to train in.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="Learn from these recorded episodes (RUN [RUN…]); --set data.… filters them."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="FOLDER", help="Model folder or hub name; new:FOLDER makes one."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", "-a", metavar="SPEC", help="Agent, such as chat:window=2 (chat).")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Rounds of sampling and updating (100).")] = None,
    tasks: Annotated[int | None, typer.Option("--tasks", "-n", metavar="N", help="Tasks of a step (16).")] = None,
    group_size: Annotated[
        int | None, typer.Option("--group-size", "-g", metavar="N", help="Episodes of each task (8).")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of tasks and samples (0).")] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Server that samples the episodes and is given the weights: tokens:NAME@URL."
        ),
    ] = None,
    concurrency: _options.Concurrency = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Options from a .toml file or a run.toml.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any option (params.size=5, optimiser.learning_rate=1e-5), the algorithm's under settings.",
        ),
    ] = None,
    out: _options.Out = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with this run from its newest checkpoint.")
    ] = None,
    as_json: _options.Json = False,
) -> int:
    """Train a language model on episodes that it plays itself (or with bc: on demonstrations).

    Every episode is recorded in a run folder, with checkpoints and metrics.jsonl; the result is the ordinary model
    folder RUN/model. Ctrl-C ends after the step at work, with a checkpoint; twice stops at once.
    """
    given = {
        "algorithm": algorithm,
        "env": env,
        "model": model,
        "agent": agent,
        "steps": steps,
        "tasks": tasks,
        "group_size": group_size,
        "seed": seed,
        "sampler": sampler,
        "concurrency": concurrency,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if more and not data:
        raise UsageError(f"{more[0]!r} is one word too many: runs to learn from are named after --data.")
    if data:
        chosen["data"] = {"runs": [*data, *(more or ())]}
    _check_packages()
    if resume is not None and (chosen or settings or config or out):
        raise UsageError("A run is resumed with the settings it was started with: give --resume RUN alone.")
    return _train(resume or partial(_configured, chosen, config, settings or []), out, as_json)


def _check_packages() -> None:
    import importlib.util

    absent = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if absent:
        what = f"Training needs {' and '.join(absent)}, which this Python does not have."
        raise MissingPrerequisite(what, 'pip install "arena-gym[train]"')


def _configured(chosen: dict[str, Any], file: Path | None, settings: list[str]) -> TrainConfig:
    """The options of the file, then those given by name, then `--set`."""
    import tomllib

    from arena.cli._new_model import made
    from arena.evaluation.config import with_settings
    from arena.trainers._config import TrainConfig

    values: dict[str, Any] = {}
    if file is not None:
        try:
            data = tomllib.loads(file.read_text())
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"The configuration {file} cannot be read: {error}.") from error
        values = data.get("train", data)
    if "data" in chosen:
        chosen["data"] = {**values.get("data", {}), **chosen["data"]}
    values = with_settings({**values, **chosen}, settings)
    for name, option, example in (
        ("algorithm", "ALGORITHM", "arena train gigpo"),
        ("env", "--env", "--env arena/Maze-v0"),
        ("model", "--model", "--model ./my-model"),
    ):
        if name not in values:
            raise UsageError(f"Training needs {option}, for example: {example}.")
    target_here(values["env"])
    return made(TrainConfig.read(values))


def _train(configured: Callable[[], TrainConfig] | Path, out: Path | None, as_json: bool) -> int:
    """A new training, or the run to go on with; under torchrun this process is one of several."""
    from arena.trainers._ranks import Ranks

    ranks = Ranks.join()
    try:
        with ranks:
            return _run(_opened(configured, out, ranks), as_json)
    except Exception:
        if ranks.speaks:
            raise
        # Another rank says what happened.
        raise typer.Exit(4) from None


def _opened(configured: Callable[[], TrainConfig] | Path, out: Path | None, ranks: Ranks) -> Training:
    """The run, opened: the model is loaded and each environment tried, which takes a while and is therefore said."""
    from arena.trainers._training import Training

    with ProgressLine() as line:
        if isinstance(configured, Path):
            doing, opened = f"loading the newest checkpoint of {configured} …", partial(Training.resume, configured)
        else:
            config = configured()
            doing = f"loading {config.model} and trying {config.env} …"
            opened = partial(Training.start, config, out)
        if ranks.first:
            line.write(doing, always=True)
        return opened(ranks=ranks)


def _run(training: Training, as_json: bool) -> int:
    with training:
        interrupted = follow(training)
    if not training.ranks.first:
        return 130 if interrupted else 0
    complete = training.done == training.config.steps
    plots = save_plots(training)
    if as_json:
        print_json(
            {
                "folder": str(training.folder),
                "complete": complete,
                "steps": training.done,
                "metrics": training.metrics.lines,
                "plots": [str(path) for path in plots],
            }
        )
    else:
        report(training, complete, plots)
    return 130 if interrupted else 0


def follow(training: Training) -> bool:
    """Run a training to its end, with its progress and notices shown; whether Ctrl-C ended it before."""
    with ProgressLine() as line, _Interrupts(training) as interrupts:

        def said(text: str) -> None:
            line.clear()
            notice(f"! {text}")

        if training.ranks.first:
            training.on_progress, training.on_notice = line.write, said
        training.run()
    return interrupts.happened


class _Interrupts:
    """Ctrl-C: once ends the training after the step at work, twice at once; a termination signal as once."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._before: dict[int, Any] = {}
        self.happened = False

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from arena.trainers._ranks import RankLost

        # torchrun at once ends the ranks that are left: the word on what happened comes first.
        before = self._before | ({signal.SIGTERM: signal.SIG_IGN} if isinstance(error, RankLost) else {})
        for number, handler in before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            raise KeyboardInterrupt
        self.happened = self._training.stopping = True
        if self._training.ranks.first and self._training.ranks.lost is None:
            notice("\nInterrupted: the step at work ends and is saved. Ctrl-C again stops at once.")
