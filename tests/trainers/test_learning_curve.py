"""The plot of a training shows what its metrics say."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest

from arena.trainers._curve import Curve, curve, figure, in_terminal, save_figure


def evaluated(step, mean, low=None, high=None, **more):
    found = {"mean": mean, "low": low, "high": high}
    return {"step": step, "eval": {"success": found, "score": {**found, "mean": mean / 2}}, **more}


LINES = [
    evaluated(0, 0.25, 0.1, 0.4),
    {
        "step": 1,
        "success": 0.5,
        "success_low": None,
        "success_high": None,
        "turns": 2.5,
        "episodes": 4,
        "sampled_tokens": 90,
    },
    evaluated(
        2, 1.0, 0.7, 1.0, success=0.75, success_low=0.5, success_high=1.0, turns=3, episodes=4, sampled_tokens=60
    ),
]


def test_held_out_points_with_their_intervals():
    held_out = curve(LINES)
    assert (held_out.x, held_out.mean) == ([0, 2], [0.25, 1.0])
    assert (held_out.low, held_out.high) == ([0.1, 0.7], [0.4, 1.0])
    assert curve(LINES, measure="score").mean == [0.125, 0.5]


def test_cost_counts_all_that_was_spent_until_then():
    """Charged only at the evaluated steps, an algorithm would look cheaper than it was."""
    assert curve(LINES, across="turns").x == [0, 22]
    assert curve(LINES, across="tokens").x == [0, 150]


def test_sampled_points_and_missing_intervals():
    sampled = curve(LINES, "sampled")
    assert (sampled.x, sampled.mean) == ([1, 2], [0.5, 0.75])
    assert math.isnan(sampled.low[0])
    assert len(curve([])) == 0


def test_the_figure_is_written_and_the_same_each_time(require, tmp_path):
    """A plot that differs by the clock would change docs/results at every run."""
    require("matplotlib")
    names = []
    for name in ("one", "other"):
        drawn = figure(
            [curve(LINES, label="gigpo"), curve(LINES, label="grpo")], behind=[curve(LINES, "sampled")], title="Maze"
        )
        names.append(save_figure(drawn, tmp_path / name))
    for one, other in zip(*names, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert names[0][0].read_bytes().startswith(b"\x89PNG")
    assert "svg" in ET.parse(names[0][1]).getroot().tag


def test_drawing_leaves_matplotlib_as_it_was(require):
    """A library that sets global style or backend changes its user's own plots."""
    require("matplotlib")
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figure([curve(LINES)])
    assert dict(mpl.rcParams) == before


def test_the_terminal_shows_where_the_curve_runs():
    lines = in_terminal(Curve([0, 10], [0.0, 1.0], [0.0, 1.0], [0.5, 1.0]), width=11, height=5)
    assert lines[1] == " 1.00 ┤        ░●●"
    assert lines[5] == " 0.00 ┤●●"
    assert lines[-1].split() == ["0", "step", "10"]


@pytest.mark.parametrize("points", [0, 1])
def test_no_curve_where_there_is_none(points):
    assert in_terminal(Curve([0.0] * points, [0.5] * points, [0.4] * points, [0.6] * points)) == []
