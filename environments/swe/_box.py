"""The agent's box: a sandbox with the repository, a shell, pytest, and three commands for files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from arena.core.errors import SandboxUnavailable
from arena.environments.swe._manifest import Package
from arena.environments.swe._running import NEEDS, REPO, TOOLS
from arena.environments.swe._sources import PYTEST, Tree, packages_folder, write_tree
from arena.environments.swe._trees import read_tree
from arena.sandboxes import ExecResult, Sandbox, SandboxSpec, Shell
from arena.sandboxes._held import temporary_folder

__all__ = ["COMMANDS", "Box", "commit", "open_box", "write_commands"]

COMMANDS = "/commands"
OUTPUT = 1 << 20
LARGEST = 64 << 20
COMMIT = """git init -q . && git config user.name agent && git config user.email agent@localhost
git add -Af . && git commit -q -m 'The package'"""
DATES = {"GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}


class Box:
    """A sandbox in which an agent works on the repository in `folder`, through a shell."""

    def __init__(self, sandbox: Sandbox, shell: Shell, folder: str) -> None:
        self.sandbox, self.shell, self.folder = sandbox, shell, folder

    @classmethod
    async def around(cls, sandbox: Sandbox, folder: str) -> Self:
        """The box of a sandbox that is ready; closed where it has no shell.

        Raises:
            SandboxUnavailable: the shell did not start.
        """
        try:
            return cls(sandbox, await sandbox.shell(), folder)
        except BaseException:
            await sandbox.close()
            raise

    async def run(self, command: str, timeout: float) -> ExecResult:
        """Run a command in the agent's shell."""
        return await self.shell.run(command, timeout=timeout, max_output=OUTPUT, merge=True)

    async def result(self) -> dict[str, bytes]:
        """The tree as it is now; links and devices are left out.

        Raises:
            OSError: it cannot be read, or it is too large.
        """
        with temporary_folder() as folder:
            await self.sandbox.download(self.folder, folder, max_bytes=LARGEST)
            return await asyncio.to_thread(read_tree, folder)

    async def close(self) -> None:
        """End it; a second call does nothing."""
        with contextlib.suppress(SandboxUnavailable):
            await self.shell.close()
        await self.sandbox.close()


async def open_box(back_end: type[Sandbox], package: Package, tree: Tree) -> Box:
    """Make a sandbox and put a package's tree into it, as the one commit of a repository where there is git.

    Raises:
        SandboxUnavailable: it could not be made.
        InfrastructureError: pytest cannot be fetched.
    """
    pytest = await asyncio.to_thread(packages_folder, PYTEST)
    needs = await asyncio.to_thread(packages_folder, package.needs)
    async with _staged(tree) as folder:
        root = f"{REPO}/{package.root}".rstrip("/")
        spec = SandboxSpec(
            folders=(REPO,),
            read_only={TOOLS: str(pytest), NEEDS: str(needs), COMMANDS: str(folder / "commands")},
            env={
                "PATH": f"{COMMANDS}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": f"{root}:{NEEDS}:{TOOLS}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",
                "PYTEST_ADDOPTS": "-p no:cacheprovider",
                "TZ": "UTC",
                "PAGER": "cat",
                "GIT_PAGER": "cat",
            },
        )
        sandbox = await back_end.create(spec)
        try:
            await sandbox.upload(folder / "repo", REPO)
            await commit(sandbox)
        except BaseException:
            await sandbox.close()
            raise
    return await Box.around(sandbox, REPO)


async def commit(sandbox: Sandbox) -> None:
    """Make what is in the first folder the one commit of a repository, where there is git.

    Raises:
        SandboxUnavailable: git failed.
    """
    done = await sandbox.exec(f"command -v git >/dev/null || exit 0\n{COMMIT}", env=DATES)
    if done.exit_code:
        raise SandboxUnavailable(f"The repository could not be set up: {done.error_text.strip()}")


def write_commands(folder: Path) -> None:
    """Write the commands of the box under their names."""
    folder.mkdir(parents=True)
    for command in ("view", "search", "edit"):
        path = folder / command
        path.write_bytes(Path(__file__).with_name("_box_commands.py").read_bytes())
        path.chmod(0o755)


@asynccontextmanager
async def _staged(tree: Tree) -> AsyncIterator[Path]:
    """A folder with the tree, and the commands under their names."""
    with temporary_folder() as folder:
        await asyncio.to_thread(write_tree, tree, folder / "repo")
        write_commands(folder / "commands")
        yield folder
