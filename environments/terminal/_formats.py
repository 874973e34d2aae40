"""Task folders, as Harbor and terminal-bench lay them out.

Harbor (schema 1): `task.toml`, `instruction.md`, `environment/` with a Dockerfile (or `docker_image` in the toml),
`solution/solve.sh`, `tests/test.sh`, which writes a number to `/logs/verifier/reward.txt` or `reward.json`.

terminal-bench (0.2): `task.yaml`, a Dockerfile beside it, `solution.sh` or `solution.yaml`, `run-tests.sh` and
`tests/`; what pytest says of each test is the result.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from arena.core.errors import MissingPrerequisite, UnknownName, UsageError

__all__ = ["TerminalTask", "find_tasks", "read_task"]

MIB = 1 << 20


@dataclass(frozen=True)
class TerminalTask:
    """One task folder, read.

    Attributes:
        instruction: what the agent is told.
        build: the folder with the Dockerfile; None where there is an image only.
        image: an image to use as it is.
        workdir: where commands start; the Dockerfile's where the format does not say.
        tests: the folder that the verifier sees as /tests.
        verify: the script in it.
        solution: the oracle's folder; None without one.
        artifacts: what of the agent's files the verifier gets; empty for all of its folders.
        env: variables of every command.
        verifier_env: variables of the verifier.
        verifier_seconds: how long it may take.
        memory: bytes.
        cpus: processors; None for no limit.
        split: where the task says so, which split it belongs to.
    """

    name: str
    format: Literal["harbor", "terminal-bench"]
    instruction: str
    build: Path | None
    image: str | None
    tests: Path
    verify: str
    solution: Path | None
    workdir: str | None = None
    artifacts: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    verifier_env: Mapping[str, str] = field(default_factory=dict)
    verifier_seconds: float = 600.0
    memory: int = 2048 * MIB
    cpus: float | None = None
    split: Literal["train", "eval"] | None = None


def find_tasks(folder: Path) -> dict[str, Path]:
    """The task folders in a folder, or the folder itself where it is one: name -> folder.

    Raises:
        UsageError: there is none.
    """
    folder = folder.expanduser()
    candidates = [folder] if _is_task(folder) else sorted(folder.iterdir()) if folder.is_dir() else []
    found = {path.name: path for path in candidates if _is_task(path)}
    if not found:
        raise UsageError(f"There is no task in {str(folder)!r}: a task is a folder with a task.toml or a task.yaml.")
    return found


def read_task(folder: Path) -> TerminalTask:
    """Read a task folder.

    Raises:
        UsageError: a file is missing or cannot be read, or it asks for what we do not have.
        MissingPrerequisite: a task.yaml, and no PyYAML.
    """
    return _harbor(folder) if (folder / "task.toml").is_file() else _terminal_bench(folder)


def choose(found: Mapping[str, Path], name: str) -> Path:
    """The folder of a task.

    Raises:
        UnknownName: no such task.
    """
    if name not in found:
        raise UnknownName("task", name, found)
    return found[name]


def _is_task(folder: Path) -> bool:
    return (folder / "task.toml").is_file() or (folder / "task.yaml").is_file()


def _harbor(folder: Path) -> TerminalTask:
    try:
        told = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        instruction = (folder / "instruction.md").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"The task {folder.name} cannot be read: {error}") from error
    if told.get("steps"):
        raise UsageError(f"The task {folder.name} has several steps; tasks of one step are run here.")
    verifier, environment = told.get("verifier", {}), told.get("environment", {})
    _need(folder, "tests/test.sh")
    image = environment.get("docker_image")
    if image is None:
        _need(folder, "environment/Dockerfile")
    return TerminalTask(
        name=folder.name,
        format="harbor",
        instruction=instruction,
        build=folder / "environment" if image is None else None,
        image=image,
        tests=folder / "tests",
        verify="test.sh",
        solution=_folder(folder / "solution", "solve.sh"),
        workdir=environment.get("workdir"),
        artifacts=tuple(
            item if isinstance(item, str) else item["source"]
            for item in [*told.get("artifacts", ()), *verifier.get("artifacts", ())]
        ),
        env=_words(environment.get("env", {})),
        verifier_env=_words(verifier.get("env", {})),
        verifier_seconds=float(verifier.get("timeout_sec", 600.0)),
        memory=int(environment.get("memory_mb", 2048)) * MIB,
        cpus=float(environment["cpus"]) if "cpus" in environment else None,
        split=told.get("metadata", {}).get("split"),
    )


def _terminal_bench(folder: Path) -> TerminalTask:
    try:
        import yaml
    except ImportError:
        raise MissingPrerequisite("Tasks of terminal-bench need PyYAML.", 'pip install "arena-gym[swe]"') from None
    try:
        told: dict[str, Any] = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
        instruction = str(told["instruction"]).strip()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(f"The task {folder.name} cannot be read: {error!r}") from error
    if (parser := told.get("parser_name", "pytest")) != "pytest":
        raise UsageError(f"The task {folder.name} is graded by the parser {parser!r}; here pytest's output is read.")
    for name in ("Dockerfile", "run-tests.sh", "tests"):
        _need(folder, name)
    return TerminalTask(
        name=folder.name,
        format="terminal-bench",
        instruction=instruction,
        build=folder,
        image=None,
        tests=folder / "tests",
        verify="run-tests.sh",
        solution=_folder(folder, "solution.sh") or _folder(folder, "solution.yaml"),
        verifier_seconds=float(told.get("max_test_timeout_sec", 600.0)),
    )


def _need(folder: Path, name: str) -> None:
    if not (folder / name).exists():
        raise UsageError(f"The task {folder.name} lacks {name}.")


def _folder(folder: Path, script: str) -> Path | None:
    return folder if (folder / script).is_file() else None


def _words(table: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in table.items()}
