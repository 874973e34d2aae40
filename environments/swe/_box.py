"""The agent's box: a sandbox with the repository, a shell, pytest, and three commands for files."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
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

__all__ = ["Box"]

COMMANDS = "/commands"
OUTPUT = 1 << 20
LARGEST = 64 << 20
COMMIT = """git init -q . && git config user.name agent && git config user.email agent@localhost
git add -A . && git commit -q -m 'The package'"""
DATES = {"GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}


class Box:
    """A sandbox in which an agent works on one tree. Made by `open`."""

    def __init__(self, sandbox: Sandbox, shell: Shell, tree: Tree) -> None:
        self.sandbox, self.shell, self.tree = sandbox, shell, tree

    @classmethod
    async def open(cls, back_end: type[Sandbox], package: Package, tree: Tree) -> Self:
        """Make the sandbox and put the tree into it, as the one commit of a repository where there is git.

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
                done = await sandbox.exec(f"command -v git >/dev/null || exit 0\n{COMMIT}", env=DATES)
                if done.exit_code:
                    raise SandboxUnavailable(f"The repository could not be set up: {done.error_text.strip()}")
                shell = await sandbox.shell()
            except BaseException:
                await sandbox.close()
                raise
        return cls(sandbox, shell, tree)

    async def run(self, command: str, timeout: float) -> ExecResult:
        """Run a command in the agent's shell."""
        return await self.shell.run(command, timeout=timeout, max_output=OUTPUT, merge=True)

    async def result(self) -> dict[str, bytes]:
        """The tree as it is now; links and devices are left out.

        Raises:
            OSError: it cannot be read, or it is too large.
        """
        with tempfile.TemporaryDirectory(prefix="arena-result-") as name:
            await self.sandbox.download(REPO, Path(name), max_bytes=LARGEST)
            return await asyncio.to_thread(read_tree, Path(name))

    async def close(self) -> None:
        """End it; a second call does nothing."""
        with contextlib.suppress(SandboxUnavailable):
            await self.shell.close()
        await self.sandbox.close()


@asynccontextmanager
async def _staged(tree: Tree) -> AsyncIterator[Path]:
    """A folder with the tree, and the commands under their names."""
    with tempfile.TemporaryDirectory(prefix="arena-box-") as name:
        folder = Path(name)
        await asyncio.to_thread(write_tree, tree, folder / "repo")
        (folder / "commands").mkdir()
        for command in ("view", "search", "edit"):
            path = folder / "commands" / command
            path.write_bytes(Path(__file__).with_name("_box_commands.py").read_bytes())
            path.chmod(0o755)
        yield folder
