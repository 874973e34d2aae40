"""What to evaluate, resolved once, written to `run.toml`, and compared when a run is resumed."""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arena.core import registry
from arena.core.errors import UsageError
from arena.core.seeds import Split
from arena.core.specs import read_value
from arena.core.task import Suite, Task
from arena.rollout import Limits

DEFAULT_TASKS = 20
"""How many tasks are drawn when an environment is evaluated rather than a suite."""


class PlayConfig(BaseModel):
    """What is common to all commands that play tasks and record the episodes."""

    model_config = ConfigDict(extra="forbid")
    noun: ClassVar[str] = "evaluation"

    target: str
    """A suite (name or path of a .toml file) or an environment id."""
    model: str | None = None
    """Model spec, where the agent needs one."""
    players: dict[str, str] = {"others": "random"}
    """Agents of the other players in a game of several; "others" stands for those not named."""
    roles: dict[str, str] = {}
    """Models of the environment's own roles (a simulated user, a judge)."""
    params: dict[str, Any] = {}
    """Constructor parameters, when the target is an environment."""
    split: Split = "eval"
    """Which tasks, when the target is an environment."""
    tasks: int | None = Field(default=None, ge=1)
    """How many tasks: drawn from an environment (20 unless told), or the first ones of a suite."""
    task_seed: int = 0
    """Which tasks are drawn from an environment."""
    seed: int = 0
    """Seed of the run: of the agents, not of the environments."""
    max_turns: int | None = Field(default=None, ge=1)
    """Replaces the tasks' own turn limits."""
    limits: Limits = Limits()
    """Limits of one episode: tokens, cost, seconds, turn_seconds."""
    max_cost: float | None = Field(default=None, gt=0)
    """US dollars after which the run stops."""
    concurrency: int = Field(default=16, ge=1)
    """Episodes in flight."""
    workers: int | None = Field(default=None, ge=1)
    """Worker processes for environments that need them; one per core unless told."""
    retries: int = Field(default=1, ge=0)
    """How often an episode lost to an infrastructure error is tried again at once."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Validate options.

        Raises:
            UsageError: names each wrong key and what was expected.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            wrong = "; ".join(
                _in_words(cls, e["type"], [str(part) for part in e["loc"]], e["msg"]) for e in error.errors()
            )
            raise UsageError(f"The {cls.noun} cannot be configured like this: {wrong}.") from None

    def suite(self) -> Suite:
        """The tasks to run.

        Raises:
            UnknownName, BadSuite, UsageError: the target cannot be resolved.
        """
        suite = self._drawn() if self._is_environment() else self._named()
        if self.max_turns is not None:
            limited = tuple(Task(t.env, t.seed, t.params, t.name, self.max_turns) for t in suite.tasks)
            suite = Suite(suite.name, limited, suite.proved, suite.description)
        return suite

    def _is_environment(self) -> bool:
        return not self.target.endswith(".toml") and self.target not in registry.suites() and "/" in self.target

    def _named(self) -> Suite:
        suite = registry.suite(self.target)
        if self.params:
            raise UsageError(f"{self.target} is a suite, whose tasks have their own parameters; drop params.")
        return Suite(suite.name, suite.tasks[: self.tasks], suite.proved, suite.description)

    def _drawn(self) -> Suite:
        known = registry.registration(self.target)
        tasks = registry.tasks(self.target, self.split, self.tasks or DEFAULT_TASKS, self.task_seed, self.params)
        return Suite(self.target, tuple(tasks), proved=False, description=known.summary)


class EvalConfig(PlayConfig):
    """An evaluation, as `arena eval` takes it from its options, a `-c` file and `--set`."""

    agent: str = "random"
    """Agent spec of the evaluated player."""
    repeats: int = Field(default=1, ge=1)
    """Episodes of each task."""
    snapshots: bool = False
    """Keep the environment's state before each turn, so that forks need no re-execution."""


def _in_words(config: type[PlayConfig], kind: str, place: list[str], message: str) -> str:
    """What is wrong with one option; for a name that is none, what was probably meant."""
    if kind not in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{'.'.join(place)}: {message[0].lower()}{message[1:]}"
    known = Limits.__dataclass_fields__ if place[0] == "limits" else config.model_fields
    close = difflib.get_close_matches(place[-1], known, n=1)
    meant = f"did you mean {close[0]!r}" if close else f"there is {', '.join(known)}"
    return f"there is no option {'.'.join(place)!r}, {meant}"


def with_settings(values: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """Apply `a.b=c` settings on top of nested options.

    Raises:
        UsageError: a setting without `=` or through something that is no table.
    """
    result: dict[str, Any] = {**values}
    for setting in settings:
        path, equals, text = setting.partition("=")
        *tables, last = path.split(".")
        if not equals or not last:
            raise UsageError(f"--set takes KEY=VALUE, such as limits.seconds=60, not {setting!r}.")
        place = result
        for table in tables:
            inner = place.get(table) or {}
            if not isinstance(inner, dict):
                raise UsageError(f"--set {setting}: {table} is not a table.")
            place[table] = dict(inner)
            place = place[table]
        place[last] = _setting(text)
    return result


def _setting(text: str) -> Any:
    """As `read_value`; lists and tables are written as JSON, such as [3, 5] or {"size": 3}."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return read_value(text)


def versions(envs: tuple[str, ...]) -> dict[str, str]:
    """Versions that results depend on: Python, Arena, and each environment's own package and those it names."""
    found = {"python": platform.python_version(), "arena-gym": _version("arena-gym"), "numpy": _version("numpy")}
    for env in envs:
        known = registry.registration(env)
        package = known.entry_point.split(".")[0].split(":")[0]
        own = _distributions().get(package, []) if package != "arena" else []
        found.update({name: _version(name) for name in (*own, *known.packages)})
    return found


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Import name -> the distributions that bring it; reading all their metadata takes a while."""
    return importlib.metadata.packages_distributions()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def read_file(path: Path, table: str = "eval") -> dict[str, Any]:
    """The options of a `-c` file: the named table of a run.toml, or the whole file.

    Raises:
        UsageError: it cannot be read.
    """
    import tomllib

    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration {path} cannot be read: {error}.") from error
    found = data.get(table, data)
    return dict(found) if isinstance(found, dict) else {}


def run_folder(out: str | Path | None, target: str, *, before: str = "", after: str = "") -> Path:
    """The folder asked for, else a new one under `runs`, named by the time and what is played.

    Args:
        out: the one asked for.
        target: environment, suite, or the file of one.
        before: a word before the target's name.
        after: a word after it.
    """
    if out is not None:
        return Path(out)
    name = Path(target).stem if target.endswith(".toml") else target.rpartition("/")[2]
    stem = "-".join(word for word in (f"{datetime.now(UTC):%Y%m%d-%H%M%S}", before, name, after) if word)
    folder, count = Path("runs") / stem, 1
    while folder.exists():
        count += 1
        folder = Path("runs") / f"{stem}-{count}"
    return folder
