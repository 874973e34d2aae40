"""`arena swe`: tasks made of bugs in Python packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from arena.cli._console import notice, say
from arena.core.errors import UsageError

SUMMARY = "Make software-engineering tasks of Python packages, fetch their sources, and write them for SWE-bench."
MAKE_EXAMPLES = (
    "arena swe make-tasks toolz==1.2.0 --out ./tasks -n 20",
    "arena swe make-tasks python-slugify==9.2.0 --needs text-unidecode==1.3 --out ./tasks",
    "arena eval ./tasks/suite.toml --agent oracle",
)
FETCH_EXAMPLES = ("arena swe fetch", "arena swe fetch swe-small")
EXPORT_EXAMPLES = (
    "arena swe export ./for-swebench swe-small",
    "arena swe export ./for-swebench --base python:3.11",
    "arena eval arena/Swe-v0 --set params.tasks=./for-swebench --agent oracle",
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help=SUMMARY)

SUITE = """name = "{name}"
proved = true
description = "Bugs in {name}."

[[tasks]]
env = "arena/Swe-v0"
params = {{ manifests = "{folder}" }}
split = "{split}"
n = {count}
"""


@app.command("make-tasks", epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in MAKE_EXAMPLES))
def make_tasks(
    requirement: Annotated[str, typer.Argument(metavar="PACKAGE==VERSION", help="A package with tests in its source.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many tasks there shall be in the end.")] = 20,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the manifest goes.")] = Path("swe-tasks"),
    seed: Annotated[int, typer.Option(help="Decides which bugs are drawn.")] = 0,
    split: Annotated[Literal["train", "eval"], typer.Option(help="Which split the package belongs to.")] = "train",
    root: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where imports start in the source; `src` if there is one.")
    ] = None,
    needs: Annotated[
        list[str] | None, typer.Option(metavar="PACKAGE==VERSION", help="What its tests import; repeat.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="`docker` or `bubblewrap`; the best here by default.")] = None,
) -> int:
    """Put bugs into a package and keep those that its own tests notice.

    The source is fetched by pip. A run that was stopped goes on where it was; a larger --count adds tasks. The
    manifest names the source by its hash and holds no more of it than the edits.
    """
    import asyncio

    from arena.environments.swe import making
    from arena.sandboxes import choose_back_end

    package = asyncio.run(
        making.make_tasks(
            requirement,
            count,
            choose_back_end(backend),
            out=out,
            seed=seed,
            split=split,
            root=root,
            needs=needs or (),
            say=notice,
        )
    )
    suite = out / "suite.toml"
    if not suite.exists():
        text = SUITE.format(name=package.name, folder=out.resolve(), split=split, count=len(package.tasks))
        suite.write_text(text, encoding="utf-8")
    say(str(out / f"{package.name}.json"))
    return 0


@app.command("fetch", epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in FETCH_EXAMPLES))
def fetch(
    suite: Annotated[str | None, typer.Argument(metavar="[SUITE]", help="A suite; all there are by default.")] = None,
) -> int:
    """Fetch the sources of tasks, by hash, so that episodes need no network."""
    from arena.environments.swe import making

    wanted = None if suite is None else {name.rpartition("-")[0] for name in _named(suite)}
    for line in making.fetch(wanted):
        notice(line)
    return 0


@app.command("export", epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXPORT_EXAMPLES))
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The task repository to write, or to add to.")],
    suite: Annotated[str | None, typer.Argument(metavar="[SUITE]", help="A suite; all tasks by default.")] = None,
    manifests: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Tasks of your own (`make-tasks --out`).")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="With Python 3, git and bash; `arena sandbox image build`'s by default."),
    ] = None,
) -> int:
    """Write tasks as a task repository of SWE-bench 5, which its own harness can build and evaluate.

    Each task's folder holds the broken package without the deciding tests, a Dockerfile that needs no network beyond
    its base image, the tests as a patch, and the solution.
    """
    from arena.environments.swe import _manifest, _task_repository
    from arena.sandboxes import images

    known = [(package, task) for package in _manifest.load(manifests or _manifest.FOLDER) for task in package.tasks]
    if suite is not None:
        wanted = _named(suite)
        known = [(package, task) for package, task in known if task.id in wanted]
    for number, name in enumerate(
        _task_repository.write_repository(folder, known, base or images.base_name()), start=1
    ):
        notice(f"{number} of {len(known)}: {name}")
    say(str(folder))
    return 0


def _named(suite: str) -> set[str]:
    """The names of a suite's tasks of arena/Swe-v0."""
    from arena.core import registry

    found = {str(task.name) for task in registry.suite(suite).tasks if task.env == "arena/Swe-v0"}
    if not found:
        raise UsageError(f"{suite} has no tasks of arena/Swe-v0.")
    return found
