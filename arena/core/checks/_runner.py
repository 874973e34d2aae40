"""Runs the checks one after the other; whatever happens inside one is its result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec

from arena.core.checks import actions, bounds, branches, determinism, faults, leaks, order, starting, tasks, values
from arena.core.checks._report import NotApplicable, Report, Result, Violation
from arena.core.checks._subject import Subject
from arena.core.errors import MissingPrerequisite

Check = Callable[[Subject], str | None]
"""Returns a remark (or nothing) where the promise is kept; raises Violation or NotApplicable."""

_ALL: tuple[Check, ...] = (
    starting.starts,
    starting.spec_is_portable,
    starting.passes_gymnasium_check,
    starting.works_behind_wrappers,
    order.steps_only_inside_an_episode,
    order.closing_twice_does_nothing,
    order.conclude_grades_at_any_turn,
    values.brief_says_what_to_do,
    values.observations_lie_in_their_space,
    values.infos_are_json,
    values.rewards_are_finite,
    values.ends_are_told_apart,
    actions.legal_actions_are_accepted,
    actions.hostile_actions_are_answered,
    actions.answers_come_in_time,
    faults.failures_are_not_scored,
    determinism.same_seed_same_episode,
    determinism.seeds_matter,
    determinism.alone_or_in_company,
    determinism.no_leak_across_resets,
    determinism.global_random_state_is_left_alone,
    determinism.same_in_another_process,
    starting.works_offline,
    branches.snapshots_restore,
    branches.branches_are_independent,
    bounds.resets_come_in_time,
    bounds.resets_do_not_slow_down,
    bounds.observations_do_not_grow,
    leaks.answer_is_not_shown,
    tasks.tasks_are_reproducible,
    tasks.splits_are_disjoint,
    tasks.oracle_scores_one,
    tasks.doing_nothing_scores_zero,
)

CHECKS: dict[str, Check] = {check.__name__: check for check in _ALL}
"""Every check by name, in the order they run; a check's docstring is the promise it looks at."""


def check(
    id_or_spec: str | EnvSpec,
    *,
    deep: bool = False,
    params: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (),
    progress: Callable[[Result], None] | None = None,
) -> Report:
    """Hold an environment to the contract.

    Args:
        id_or_spec: a registered id (or `module:namespace/Name-vN`), or a Gymnasium spec.
        deep: more seeds, longer episodes, and every task of the proved suite.
        params: keyword arguments of the environment's constructor.
        seeds: seeds of the episodes; empty for tasks of the environment's own source.
        progress: called with each result as it comes.

    Raises:
        UnknownName: no such environment.
        MissingPrerequisite: its packages are not installed.
    """
    if isinstance(id_or_spec, EnvSpec):
        given = {key: value for key, value in id_or_spec.kwargs.items() if key != "inner"}
        id_or_spec, params = id_or_spec.id, {**given, **(params or {})}
    subject = Subject(id_or_spec, deep, params or {}, seeds)
    results: list[Result] = []
    for name in CHECKS:
        stuck = bool(results) and results[0].status == "failed"
        result = Result(name, "skipped", "it does not start") if stuck else run_check(subject, name)
        results.append(result)
        if progress is not None:
            progress(result)
    return Report(subject.id, tuple(results))


def run_check(subject: Subject, name: str) -> Result:
    """One check, as data."""
    began = time.perf_counter()
    try:
        remark = CHECKS[name](subject) or ""
        return Result(name, "passed", remark, time.perf_counter() - began)
    except NotApplicable as reason:
        return Result(name, "skipped", str(reason), time.perf_counter() - began)
    except Violation as violation:
        return Result(name, "failed", str(violation), time.perf_counter() - began)
    except MissingPrerequisite:
        raise
    except Exception as error:
        return Result(name, "failed", str(_crash(name, error)), time.perf_counter() - began)
    finally:
        subject.close()


def _crash(name: str, error: Exception) -> Violation:
    promise = (CHECKS[name].__doc__ or name).strip().splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/arena/core/" not in Path(frame.filename).as_posix()]
    last = (own or frames)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return Violation(
        promise,
        f"{type(error).__name__}: {error} (raised at {where}: {last.line})",
        "an environment answers in words and raises only ResetNeeded, UsageError or EnvironmentFailure",
    )
