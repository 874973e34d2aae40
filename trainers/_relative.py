"""Returns compared within a group: what the group-relative algorithms share.

Shapes: E trajectories, T turns.
"""

from __future__ import annotations

import numpy as np

from arena.trainers._groups import counts, normalised
from arena.trainers._options import Scale, Singleton, Statistics
from arena.trainers._segments import Flags, Floats, Integers
from arena.trainers._table import TurnTable


def relative_returns(
    table: TurnTable,
    *,
    scale: Scale = "none",
    eps: float = 1e-6,
    ddof: int = 1,
    singleton: Singleton = "zero",
    statistics: Statistics = "trajectories",
    penalty: float = 0.0,
) -> Floats:
    """Each trajectory's return minus its group's mean, on each of its turns (T).

    Args:
        table: the return is the undiscounted sum of rewards.
        scale: which standard deviation to divide by.
        eps: added to it.
        ddof: 1 for the unbiased one, 0 for the population's.
        singleton: what a group of one gives.
        statistics: whether mean and deviation run over trajectories or over rows.
        penalty: subtracted from the return on invalid turns only; over trajectories the statistics
            see the first turn's, as in Dr.MAS.
    """
    along = table.trajectories
    values = along.spread(table.trajectory_return) - penalty * ~table.valid
    groups = along.spread(table.trajectory_group)
    if statistics == "rows" or penalty:
        counted = table.scored.copy()
        if statistics == "trajectories":
            counted &= _firsts(table)
        result = _normalised(values, groups, counted, scale=scale, eps=eps, ddof=ddof, singleton=singleton)
        return np.where(table.scored, result, 0.0)
    values, groups, counted = table.trajectory_return, table.trajectory_group, table.trajectory_scored
    result = _normalised(values, groups, counted, scale=scale, eps=eps, ddof=ddof, singleton=singleton)
    return table.credited(result)


def leave_one_out(table: TurnTable, singleton: Singleton = "zero") -> Floats:
    """R_i minus the mean return of the others of its group (E)."""
    counted = table.trajectory_scored
    centred = normalised(table.trajectory_return, table.trajectory_group, counted, singleton=singleton)
    number = counts(table.trajectory_group, counted)
    result: Floats = np.where(number > 1, number / np.maximum(number - 1, 1), 1.0) * centred
    return np.where(counted, result, 0.0)


def _firsts(table: TurnTable) -> Flags:
    first = np.zeros(len(table), bool)
    first[table.trajectories.starts] = True
    return first


def _normalised(
    values: Floats,
    groups: Integers,
    counted: Flags,
    *,
    scale: Scale,
    eps: float,
    ddof: int,
    singleton: Singleton,
) -> Floats:
    result = normalised(values, groups, counted, std=scale == "group", eps=eps, ddof=ddof, singleton=singleton)
    if scale == "batch":
        sample = values[counted]
        result /= (sample.std(ddof=ddof) if len(sample) > ddof else 0.0) + eps
    return result
