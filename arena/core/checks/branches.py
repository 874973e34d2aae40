"""Checks on snapshots: a round trip changes nothing, and branches share nothing."""

from __future__ import annotations

from typing import Any

from arena.core.checks import _play
from arena.core.checks._report import NotApplicable, Violation
from arena.core.checks._subject import Subject
from arena.core.checks._trace import Seen, difference
from arena.core.env import Snapshots, ability
from arena.core.task import Task

_WHOLE_STATE = (
    "put everything that changes into the snapshot, the generator and the episode's phase included, as a copy "
    "(arena.core.snapshots.StateSnapshots does it for a dataclass)"
)


def snapshots_restore(subject: Subject) -> None:
    """A snapshot changes nothing, and what follows it is the same in this instance and in a fresh one."""
    _needs_snapshots(subject)
    for task in subject.rounds(subject.tasks, 1.0):
        script, cut = _script(subject, task)
        alone = _play.repeat(subject.make(task), task, script)
        env = subject.make(task)
        before = _play.repeat(env, task, script[:cut])
        saved = _snapshot(env)
        after = tuple(_play.proceed(env, script[cut:]))
        _same(alone, (*before, *after), "an episode in which a snapshot was taken")
        for where, other in (("the same instance", env), ("a fresh instance before any reset", subject.make(task))):
            _restore(other, saved)
            _same(after, tuple(_play.proceed(other, script[cut:])), f"what follows a snapshot restored in {where}")
        _release(saved)


def branches_are_independent(subject: Subject) -> None:
    """Two branches of one snapshot, played in turns with different actions, do not see each other."""
    _needs_snapshots(subject)
    for task in subject.rounds(subject.tasks, 1.0):
        script, cut = _script(subject, task)
        env = subject.make(task)
        _play.repeat(env, task, script[:cut])
        saved = _snapshot(env)
        expected = tuple(_play.proceed(env, script[cut:]))
        one, other = subject.make(task), subject.make(task)
        _restore(other, saved)
        disturb = _Branch(other, task)
        _restore(one, saved)
        _same(expected, tuple(_play.proceed(one, script[cut:], disturb.turn)), "a branch beside another branch")
        _restore(one, saved)
        _same(expected, tuple(_play.proceed(one, script[cut:])), "a branch after other branches were played")
        _release(saved)


class _Branch:
    """Another way to go on, one turn at a time, until it ends."""

    def __init__(self, env: Any, task: Task) -> None:
        self._env = env
        self._choose = _play.explorer(env, "another branch", task.key, nonsense=0.3)
        self._over = False

    def turn(self) -> None:
        """Take a turn of this branch."""
        if not self._over:
            result = self._env.step(self._choose("", {}))
            self._over = bool(result[2] or result[3])


def _needs_snapshots(subject: Subject) -> None:
    if ability(subject.make(), Snapshots) is None:
        raise NotApplicable("it takes no snapshots; forks re-execute its actions")


def _script(subject: Subject, task: Task) -> tuple[tuple[str, ...], int]:
    """Actions of an episode, and the turn in its middle."""
    script = _play.explore(subject.make(task), task, subject.turns, "branches").actions
    return script, len(script) // 2


def _layer(env: Any) -> Snapshots:
    layer = ability(env, Snapshots)
    assert layer is not None
    return layer


def _snapshot(env: Any) -> Any:
    layer = _layer(env)
    saved: Any = layer.snapshot()
    kind = layer.snapshot_kind
    if kind not in ("bytes", "handle") or (kind == "bytes") != isinstance(saved, bytes):
        raise Violation(
            "snapshot() returns what `snapshot_kind` says, 'bytes' or 'handle'",
            f"snapshot_kind = {kind!r} and a {type(saved).__name__}",
            "return bytes, or an object with release()",
        )
    if kind == "handle" and not callable(getattr(saved, "release", None)):
        raise Violation("a snapshot handle has release()", f"a {type(saved).__name__} without it", "add release()")
    return saved


def _restore(env: Any, saved: Any) -> None:
    _layer(env).restore(saved)


def _release(saved: Any) -> None:
    if not isinstance(saved, bytes):
        saved.release()


def _same(expected: tuple[Seen, ...], found: tuple[Seen, ...], what: str) -> None:
    if wrong := difference(expected, found):
        raise Violation(f"{what} is the same as without", wrong, _WHOLE_STATE)
