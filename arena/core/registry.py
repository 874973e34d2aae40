"""Where environments, suites, agents and models are known by name, without importing their code."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium
from gymnasium.envs.registration import registry as gymnasium_registry

from arena.core.errors import MissingPrerequisite, UnknownName, UsageError
from arena.core.seeds import Split, task_seeds
from arena.core.task import Suite, Task, load_suite

Execution = Literal["inline", "thread", "process", "async"]


@dataclass(frozen=True, slots=True)
class Registration:
    """What Arena keeps about an environment beside Gymnasium's own spec.

    Attributes:
        id: Gymnasium id.
        entry_point: `module:Class`.
        summary: one line for `arena list`.
        execution: where the engine runs it: `inline` (pure Python, microseconds), `thread` (blocks on
            I/O), `process` (heavy CPU or not thread-safe), `async` (an `AsyncEnv`).
        max_turns: the tasks' turn limit where their source sets none.
        source: `module:function` yielding tasks, called as `f(split, seed, **params)`; None draws seeds.
        suite: name of the proved suite.
        extra: the extra of `arena-gym` it needs, such as `text`.
        packages: distributions that its episodes depend on beside the one it is part of; a run records their versions.
        secret: `module:function`, called with the unwrapped environment after `reset`: strings that must not
            be observed.
        volatile: pattern -> why it may differ between two runs of the same actions.
        replay: "exact", or "none: reason".
        roles: models the environment asks for (a simulated user, a judge), handed to its constructor as
            `models={role: model}`; it awaits them, so its execution is `async`.
        reset_seconds: CPU time that a reset may take once it is warm; the contract check holds it to that.
    """

    id: str
    entry_point: str
    summary: str = ""
    execution: Execution = "inline"
    max_turns: int | None = None
    source: str | None = None
    suite: str | None = None
    extra: str | None = None
    packages: tuple[str, ...] = ()
    secret: str | None = None
    volatile: Mapping[str, str] = field(default_factory=dict)
    replay: str = "exact"
    roles: tuple[str, ...] = ()
    reset_seconds: float = 5.0

    def stable(self, text: str) -> str:
        """A text without what is declared volatile in it, to compare two runs of the same actions."""
        for pattern in self.volatile:
            text = re.sub(pattern, "…", text)
        return text


_environments: dict[str, Registration] = {}
_suite_folders: list[str] = []
_plugins_loaded = False


def register(id: str, entry_point: str, **fields: Any) -> None:
    """Make an environment known, to Gymnasium too. Registering the same id again replaces it.

    Args:
        id: `namespace/Name-vN`; a change of behaviour bumps N.
        entry_point: `module:Class`, imported only when one is made.
        fields: the fields of `Registration`.

    Raises:
        UsageError: an unknown field or execution class.
    """
    known = set(Registration.__dataclass_fields__)
    if unknown := set(fields) - known:
        raise UsageError(f"register() does not take {sorted(unknown)}. Its fields are {', '.join(sorted(known))}.")
    registration = Registration(id, entry_point, **fields)
    if registration.execution not in ("inline", "thread", "process", "async"):
        raise UsageError(f"execution is inline, thread, process or async, not {registration.execution!r}.")
    if registration.roles and registration.execution != "async":
        raise UsageError(f"{id} asks for models ({', '.join(registration.roles)}), so it must be an AsyncEnv (async).")
    gymnasium_registry.pop(id, None)
    asynchronous = registration.execution == "async"
    gymnasium.register(
        id,
        entry_point="arena.core.facade:make" if asynchronous else entry_point,
        kwargs={"inner": entry_point} if asynchronous else {},
        disable_env_checker=True,
        order_enforce=False,
        nondeterministic=registration.replay != "exact",
    )
    _environments[id] = registration


def register_suites(package: str) -> None:
    """Make the `suites/*.toml` of a package known by their file names."""
    if package not in _suite_folders:
        _suite_folders.append(package)


def load_plugins() -> None:
    """Import the modules named in the entry-point group `arena.environments`; each registers its own."""
    global _plugins_loaded
    if not _plugins_loaded:
        _plugins_loaded = True
        for point in importlib.metadata.entry_points(group="arena.environments"):
            point.load()


def environments() -> dict[str, Registration]:
    """All environments by id, plug-ins included."""
    load_plugins()
    return dict(sorted(_environments.items()))


def registration(id: str) -> Registration:
    """What is known about an environment.

    Args:
        id: a registered id, or `module:namespace/Name-vN` to import a module first.

    Raises:
        UnknownName: with what was probably meant.
    """
    module, colon, name = id.rpartition(":")
    if colon:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            raise UnknownName("module", module, (), f"It is named by {id!r}.") from error
    if name not in _environments:
        load_plugins()
    if name not in _environments:
        short = {known.rpartition("/")[2]: known for known in _environments}
        close = difflib.get_close_matches(name.rpartition("/")[2], short, n=1, cutoff=0.5)
        hint = "" if not close else f"Did you mean {short[close[0]]!r}? "
        raise UnknownName("environment", name, (), hint + "`arena list` shows them all.")
    return _environments[name]


def make(id: str, **params: Any) -> gymnasium.Env[Any, str]:
    """Make an environment by id, wrapped as Gymnasium does.

    Raises:
        UnknownName: no such id.
        MissingPrerequisite: its packages are not installed.
        UsageError: a parameter it does not take.
    """
    known = registration(id)
    with _Explained(known):
        return gymnasium.make(known.id, **params)


def make_raw(id: str, **params: Any) -> Any:
    """The bare environment object: an `Env`, or an `AsyncEnv` where the execution class says so."""
    return instantiate(registration(id), params)


def instantiate(known: Registration, params: Mapping[str, Any]) -> Any:
    """As `make_raw`, for a registration at hand (a worker process has not registered what a script did)."""
    with _Explained(known):
        return load(known.entry_point)(**params)


def load(path: str) -> Any:
    """Import what `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


class _Explained:
    """Turns a failed import or call of an entry point into an error that says what to do."""

    def __init__(self, known: Registration) -> None:
        self._known = known

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        known = self._known
        if isinstance(error, ModuleNotFoundError) and known.extra and not (error.name or "arena").startswith("arena"):
            what = f"{known.id} needs the package {error.name}, which is not installed."
            raise MissingPrerequisite(what, f'pip install "arena-gym[{known.extra}]"') from error
        if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
            raise UsageError(f"{known.id}: {error}. `arena list {known.id}` shows its parameters.") from error


def tasks(
    id: str, split: Split = "eval", n: int = 10, seed: int = 0, params: Mapping[str, Any] | None = None
) -> list[Task]:
    """The first n tasks of an environment: the same for the same arguments, and a prefix of any longer list.

    Train and eval tasks never share a seed or an instance. They name the environment as `id` does, so that where
    it names a module, whoever reads a record of them can import it.

    Raises:
        UsageError: a split or number that cannot be, or fewer tasks than asked for.
    """
    if split not in ("train", "eval") or n < 1:
        raise UsageError(f"tasks(split='train' | 'eval', n >= 1) was called with split={split!r}, n={n}.")
    known, params = registration(id), dict(params or {})
    if known.source is not None:
        with _Explained(known):
            drawn = itertools.islice(load(known.source)(split, seed, **params), n)
            found = [replace(task, env=id) if task.env == known.id else task for task in drawn]
    else:
        found = [Task(id, s, params, None, known.max_turns) for s in itertools.islice(task_seeds(split, seed), n)]
    if len(found) < n:
        raise UsageError(f"{id} has only {len(found)} {split} tasks with these parameters; {n} were asked for.")
    return found


def suites() -> dict[str, Path]:
    """The files of all named suites."""
    load_plugins()
    found = {}
    for package in _suite_folders:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            found.update({path.stem: path for path in sorted(Path(folder, "suites").glob("*.toml"))})
    return dict(sorted(found.items()))


def suite(name_or_path: str) -> Suite:
    """A suite by name or by the path of its file.

    Raises:
        UnknownName: neither a known name nor a file.
        BadSuite: the file cannot be used.
    """
    if name_or_path.endswith(".toml"):
        return load_suite(Path(name_or_path))
    known = suites()
    if name_or_path not in known:
        raise UnknownName("suite", name_or_path, known, "A suite may also be the path of a .toml file.")
    return load_suite(known[name_or_path])


@dataclass(frozen=True, slots=True)
class Plugin:
    """An agent or a kind of model by name: where it is, one line about it, and the extra it needs."""

    target: str
    summary: str = ""
    extra: str | None = None


class Catalog:
    """Agents or models by name: built-in ones are registered, others come from an entry-point group."""

    def __init__(self, noun: str, group: str) -> None:
        self.noun = noun
        self.group = group
        self._known: dict[str, Plugin] = {}

    def register(self, name: str, target: str, summary: str = "", extra: str | None = None) -> None:
        """Make a class known as `name`; `target` is `module:Class`."""
        self._known[name] = Plugin(target, summary, extra)

    def names(self) -> dict[str, Plugin]:
        """All of them, plug-ins included."""
        points = importlib.metadata.entry_points(group=self.group)
        return {**{p.name: Plugin(p.value, "a plug-in") for p in points}, **self._known}

    def load(self, name: str) -> Callable[..., Any]:
        """The class.

        Raises:
            UnknownName: with what was probably meant.
            MissingPrerequisite: its packages are not installed.
        """
        plugin = self._known.get(name) or self.names().get(name)
        if plugin is None:
            raise UnknownName(self.noun, name, self.names())
        try:
            return load(plugin.target)  # type: ignore[no-any-return]
        except ModuleNotFoundError as error:
            if plugin.extra is None or (error.name or "arena").startswith("arena"):
                raise
            what = f"The {self.noun} {name} needs the package {error.name}, which is not installed."
            raise MissingPrerequisite(what, f'pip install "arena-gym[{plugin.extra}]"') from error


AGENTS = Catalog("agent", "arena.agents")
MODELS = Catalog("model", "arena.models")
