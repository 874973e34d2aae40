"""Our sandboxes for users of Inspect (`pip install "arena-gym[inspect]"`), which finds them by itself:

    Task(..., sandbox="arena-docker")
    Task(..., sandbox=("arena-bubblewrap", "sandbox.toml"))

The file holds fields of `SandboxSpec`; without one a sandbox is what `SandboxSpec()` says. The names are known through
the entry point `inspect_ai` of this package. Each sample has one sandbox, called `default`.

Two things differ from Inspect's own providers, on purpose: a command that ran out of time is not tried again, because
it may have done half of its work; and nobody inside can become root, so no user can be added.

Source: inspect_ai.util.SandboxEnvironment; its conformance suite, `inspect_ai.util._sandbox.self_check`, runs in
`tests/sandboxes/test_inspect.py`.
"""

from __future__ import annotations

import errno
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel, ConfigDict

from arena.core.errors import SandboxUnavailable, UsageError
from arena.sandboxes.bubblewrap import Bubblewrap
from arena.sandboxes.docker import Docker
from arena.sandboxes.interface import Sandbox
from arena.sandboxes.spec import SandboxSpec

__all__ = ["ArenaBubblewrap", "ArenaDocker", "SandboxConfig"]

NOT_EXECUTABLE = 126


class SandboxConfig(BaseModel):  # type: ignore[misc, unused-ignore]
    """Fields of `SandboxSpec`, where they do not come from a file."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ArenaSandbox(SandboxEnvironment):  # type: ignore[misc]
    """A sandbox as Inspect sees it."""

    back_end: ClassVar[type[Sandbox]]

    def __init__(self, inner: Sandbox) -> None:
        super().__init__()
        self.inner = inner

    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """A sandbox for a sample.

        Raises:
            UsageError: the configuration is none.
            MissingPrerequisite: this back end cannot work here; says what to install.
        """
        return {"default": cls(await cls.back_end.create(spec_of(config)))}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Close what a sample had."""
        for environment in environments.values():
            await environment.as_type(ArenaSandbox).inner.close()

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        """Remove what dead programs left: `inspect sandbox cleanup`."""
        cls.back_end.cleanup_orphans()

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> SandboxConfig:
        """The configuration of a log."""
        return SandboxConfig(**config)

    async def exec(  # noqa: PLR0917 - Inspect's signature
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a program; see the module for what `timeout_retry` does not do."""
        most = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        async with _errors_of_inspect():
            if user and not await self._has(user):
                return ExecResult(False, NOT_EXECUTABLE, "", f"There is no user {user} in this sandbox.\n")
            done = await self.inner.exec(
                cmd,
                stdin=input,
                cwd=cwd,
                env=env,
                user=user,
                timeout=float(timeout) if timeout is not None else float("inf"),
                max_output=most,
            )
        if done.timed_out:
            raise TimeoutError(f"{cmd[0]} was ended after {timeout} s.")
        if done.truncated:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, done.text)
        if done.exit_code == NOT_EXECUTABLE and "permission denied" in done.error_text.lower():
            raise PermissionError(errno.EACCES, done.error_text.strip(), cmd[0])
        return ExecResult(done.exit_code == 0, done.exit_code, done.text, done.error_text)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Make or replace a file."""
        async with _errors_of_inspect():
            await self.inner.write(file, contents)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """The content of a file."""
        async with _errors_of_inspect():
            try:
                content = await self.inner.read(file, max_bytes=SandboxEnvironmentLimits.MAX_READ_FILE_SIZE)
            except OSError as error:
                if error.errno != errno.EFBIG:
                    raise
                raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None) from error
        return content.decode("utf-8") if text else content

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """How a person gets into the sandbox; bubblewrap's have no door."""
        if not isinstance(self.inner, Docker):
            raise NotImplementedError("Nobody can enter a bubblewrap sandbox from outside.")
        if not await self.inner.alive():
            raise ConnectionError("The sandbox has ended.")
        container = self.inner.container
        command = f"docker exec --interactive --tty --user {user or self.inner.spec.user} {container} bash"
        return SandboxConnection(type="arena-docker", command=command, container=container)

    async def _has(self, user: str) -> bool:
        if user in (self.inner.spec.user, "root") or user.isdigit():
            return True
        return (await self.inner.exec(["id", "--", user])).exit_code == 0


@sandboxenv(name="arena-docker")
class ArenaDocker(ArenaSandbox):
    """Containers; see `arena.sandboxes.docker`."""

    back_end = Docker


@sandboxenv(name="arena-bubblewrap")
class ArenaBubblewrap(ArenaSandbox):
    """Namespaces without a daemon; see `arena.sandboxes.bubblewrap`. Its commands run as one user."""

    back_end = Bubblewrap

    async def exec(self, cmd: list[str], *arguments: Any, user: str | None = None, **options: Any) -> ExecResult[str]:
        """As `ArenaSandbox.exec`.

        Raises:
            SandboxUserUnsupportedError: another user than the sandbox's.
        """
        if user not in (None, self.inner.spec.user):
            raise SandboxUserUnsupportedError(f"A bubblewrap sandbox has one user, {self.inner.spec.user}.")
        return await super().exec(cmd, *arguments, **options)


def spec_of(config: SandboxEnvironmentConfigType | None) -> SandboxSpec:
    """What a configuration asks for: the path of a TOML file, fields, or nothing.

    Raises:
        UsageError: a file that cannot be read, or a field that `SandboxSpec` does not have.
    """
    if config is None:
        return SandboxSpec()
    if isinstance(config, str):
        try:
            fields: Mapping[str, Any] = tomllib.loads(Path(config).read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{config!r} should be a TOML file with fields of SandboxSpec: {error}") from error
    else:
        fields = config.model_dump()
    known = SandboxSpec.__dataclass_fields__
    if unknown := sorted(set(fields) - set(known)):
        raise UsageError(f"SandboxSpec has no field {unknown[0]!r}. It has: {', '.join(known)}.")
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return SandboxSpec(**given)


@asynccontextmanager
async def _errors_of_inspect() -> AsyncIterator[None]:
    try:
        yield
    except SandboxUnavailable as error:
        raise SandboxUnavailableError(str(error)) from error
