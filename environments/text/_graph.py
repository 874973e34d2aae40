"""Shortest paths in graphs whose edges all cost one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def distances(target: int, neighbours: Callable[[int], Iterable[int]]) -> dict[int, int]:
    """Steps from every node that reaches `target` to it, by breadth-first search; nearest nodes first."""
    found = {target: 0}
    frontier = [target]
    steps = 0
    while frontier:
        steps += 1
        reached = []
        for node in frontier:
            for neighbour in neighbours(node):
                if neighbour not in found:
                    found[neighbour] = steps
                    reached.append(neighbour)
        frontier = reached
    return found
