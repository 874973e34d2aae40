"""Tasks and suites: what the episodes of an evaluation are about."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.core.errors import BadSuite, UsageError
from arena.core.seeds import Split, split_of_seed


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What one episode is about. Several episodes of one task are a group. Equal tasks have the same key.

    Attributes:
        env: environment id, such as `arena/Maze-v0`, or `module:namespace/Name-vN`, which any process can import.
        seed: seed of the environment.
        params: keyword arguments of the environment's constructor.
        name: one of the environment's named tasks, handed over as `options={"task": name}`; None where there are none.
        max_turns: the engine truncates the episode after this many turns; None for no limit.
    """

    env: str
    seed: int
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    max_turns: int | None = None

    @property
    def split(self) -> Split:
        """Whether this is a task to train or to evaluate on."""
        return split_of_seed(self.seed)

    @property
    def key(self) -> str:
        """Names the task in records and tables: `arena/Maze-v0[size=5]#name@seed`. The turn limit is part of it."""
        params = ",".join(f"{k}={json.dumps(self.params[k], sort_keys=True)}" for k in sorted(self.params))
        limit = f"!{self.max_turns}" if self.max_turns is not None else ""
        name = f"#{self.name}" if self.name is not None else ""
        return f"{self.env}{f'[{params}]' if params else ''}{name}@{self.seed}{limit}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object that `Task(**…)` reads back."""
        return {
            "env": self.env,
            "seed": self.seed,
            "params": dict(self.params),
            "name": self.name,
            "max_turns": self.max_turns,
        }

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Task) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Suite:
    """A named list of tasks.

    Attributes:
        proved: an oracle scores 1 and doing nothing scores 0 on each task; tables mark the other suites.
    """

    name: str
    tasks: tuple[Task, ...]
    proved: bool = False
    description: str = ""

    @property
    def hash(self) -> str:
        """Identifies the tasks and their order (16 hexadecimal digits)."""
        return hashlib.sha256("\n".join(task.key for task in self.tasks).encode()).hexdigest()[:16]

    @property
    def envs(self) -> tuple[str, ...]:
        """The environments, in the order they first occur."""
        return tuple(dict.fromkeys(task.env for task in self.tasks))


_ENTRY_TYPES: dict[str, type] = {
    "env": str,
    "params": dict,
    "split": str,
    "n": int,
    "seed": int,
    "seeds": list,
    "names": list,
    "max_turns": int,
}


def load_suite(path: Path) -> Suite:
    """Read a suite file.

        name = "quickstart"
        proved = true
        description = "…"

        [[tasks]]
        env = "arena/Maze-v0"
        params = {size = 5}
        split = "eval"      # tasks drawn from the environment's own task source …
        n = 10
        seed = 0

        [[tasks]]
        env = "arena/Wordle-v0"
        seeds = [1, 2, 3]   # … or named one by one
        max_turns = 8

    Raises:
        BadSuite: says what in the file cannot be used.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSuite(f"The suite {path} cannot be read: {error}.") from error
    unknown = set(data) - {"name", "proved", "description", "tasks"}
    entries = data.get("tasks")
    if unknown or not isinstance(entries, list) or not entries:
        wrong = f"unknown keys {sorted(unknown)}" if unknown else "no [[tasks]]"
        raise BadSuite(f"The suite {path} has {wrong}. A suite has name, proved, description and [[tasks]].")
    try:
        tasks = tuple(task for entry in entries for task in _expand(entry))
    except UsageError as error:
        raise BadSuite(f"The suite {path} cannot be used: {error}") from error
    keys = [task.key for task in tasks]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadSuite(f"The suite {path} names {twice} more than once; use --repeats for several episodes.")
    return Suite(data.get("name", path.stem), tasks, bool(data.get("proved", False)), data.get("description", ""))


def _expand(entry: Mapping[str, Any]) -> Iterator[Task]:
    from arena.core import registry

    _check_entry(entry)
    env, params = entry["env"], entry.get("params", {})
    limit = entry.get("max_turns")
    if "seeds" in entry:
        default = registry.registration(env).max_turns
        for name in entry.get("names", [None]):
            for seed in entry["seeds"]:
                yield Task(env, seed, params, name, limit if limit is not None else default)
        return
    for task in registry.tasks(env, entry.get("split", "eval"), entry.get("n", 10), entry.get("seed", 0), params):
        yield task if limit is None else Task(task.env, task.seed, task.params, task.name, limit)


def _check_entry(entry: object) -> None:
    """Refuse an entry that would be misread."""
    if not isinstance(entry, dict):
        raise BadSuite(f"{entry!r} stands where a [[tasks]] table is expected.")
    unknown = set(entry) - set(_ENTRY_TYPES)
    if unknown or "env" not in entry:
        wrong = f"the unknown keys {sorted(unknown)}" if unknown else "no env"
        raise BadSuite(f"A [[tasks]] entry has {wrong}. Its keys are {', '.join(sorted(_ENTRY_TYPES))}.")
    for key, value in entry.items():
        if not isinstance(value, _ENTRY_TYPES[key]) or isinstance(value, bool):
            raise BadSuite(f"{key} = {value!r} of {entry['env']}: expected {_ENTRY_TYPES[key].__name__}.")
    both = sorted({"split", "n", "seed"} & set(entry)) if "seeds" in entry else []
    if both or ("names" in entry and "seeds" not in entry):
        wrong = f"seeds and {', '.join(both)}" if both else "names without seeds"
        raise BadSuite(f"{entry['env']} has {wrong}: tasks are either drawn (split, n, seed) or named (seeds, names).")
    if any(not isinstance(seed, int) for seed in entry.get("seeds", ())) or entry.get("max_turns", 1) < 1:
        raise BadSuite(f"{entry['env']}: seeds are whole numbers, and max_turns is at least 1.")
