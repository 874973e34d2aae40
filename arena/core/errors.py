"""What can go wrong, by the boundary it happened at.

    ArenaError
    ├── UsageError               the caller asked for something that does not exist or does not fit
    │   ├── UnknownName          no environment, agent, model, suite or task of that name
    │   ├── BadSpec              a model or agent spec that cannot be read
    │   ├── BadSuite             a suite file that cannot be read or expanded
    │   └── ResumeRefused        a run that was started with another configuration
    ├── MissingPrerequisite      a package or program is not installed; carries the line that installs it
    ├── ResetNeeded              `step` or `conclude` outside an episode (also a gymnasium error)
    ├── AgentError               a bug in an agent's code: the episode scores 0
    ├── EnvironmentFailure       a bug in an environment: the episode is not scored
    ├── InfrastructureError      a server, sandbox, process or disk failed: the episode is not scored
    │   ├── ModelUnavailable     the model's server gave no answer after the retries
    │   ├── RequestRefused       the server refuses this one request, though it takes others
    │   ├── SandboxUnavailable   a sandbox could not be made, or was lost; never what a command did in it
    │   └── RunLocked            another process is writing to the run
    ├── ContextOverflow          the conversation no longer fits the model: the episode is truncated
    ├── EpisodeStopped           an agent asked for the end (a person who left, a recording that is over): cancelled
    └── RecordDamaged            a record that fails its checksum or cannot be decoded

What a model or its action causes is never an error: an unparsable reply, a refusal or a page the
action broke is an ordinary turn, and the episode's outcome is `failure` or `truncated`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import gymnasium.error


class ArenaError(Exception):
    """Root of every error Arena raises on purpose."""


class UsageError(ArenaError):
    """The caller asked for something that does not exist or does not fit."""


class UnknownName(UsageError):
    """No such name; says what there is and what was probably meant."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        super().__init__(kind, name, sorted(known), hint)

    def __str__(self) -> str:
        kind, name, known, hint = self.args
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        text = f"There is no {kind} called {name!r}."
        if close:
            text += f" Did you mean {close[0]!r}?"
        elif known:
            text += f" There is: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}."
        return f"{text} {hint}".strip()


class BadSpec(UsageError):
    """A model or agent spec that cannot be read."""


class BadSuite(UsageError):
    """A suite file that cannot be read or expanded."""


class ResumeRefused(UsageError):
    """A run cannot be resumed because its configuration differs; the message shows how."""


class MissingPrerequisite(ArenaError):
    """Something must be installed first.

    Args:
        what: what is missing and what needed it, in words.
        install: the command line that installs it.
    """

    def __init__(self, what: str, install: str) -> None:
        super().__init__(what, install)
        self.install = install

    def __str__(self) -> str:
        what, install = self.args
        return f"{what} Install it with:\n    {install}"


class ResetNeeded(ArenaError, gymnasium.error.ResetNeeded):
    """`step` or `conclude` was called before `reset` or after the episode's end."""


class AgentError(ArenaError):
    """A bug in an agent's code."""


class EnvironmentFailure(ArenaError):
    """A bug in an environment, or a value from it that breaks the contract."""


class InfrastructureError(ArenaError):
    """Something underneath failed: a server, a sandbox, a worker process, the disk."""


class ModelUnavailable(InfrastructureError):
    """The model's server gave no usable answer after the retries."""


class RequestRefused(InfrastructureError):
    """The server refuses this one request, though it takes others: the episode is not scored."""


class SandboxUnavailable(InfrastructureError):
    """A sandbox could not be made, or was lost through no doing of the commands in it."""


class RunLocked(InfrastructureError):
    """Another process is writing to the run folder."""


class ContextOverflow(ArenaError):
    """The conversation no longer fits the model's context."""


class EpisodeStopped(ArenaError):
    """An agent asked for the episode's end without an action: a person who left, a recording that is over."""


class RecordDamaged(ArenaError):
    """A record that fails its checksum or cannot be decoded."""
