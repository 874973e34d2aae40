"""Dense rewards beside the grade, each chosen by name. The score is never changed by them."""

from __future__ import annotations

import difflib

from arena.environments.swe._grading import Verdict
from arena.environments.swe._sources import Tree

__all__ = ["FIXED_SHARE", "IMMEDIATE", "PATCH_SIMILARITY", "REWARDS", "immediate", "patch_similarity", "terminal"]

IMMEDIATE = "immediate"
FIXED_SHARE = "fixed_share"
PATCH_SIMILARITY = "patch_similarity"
REWARDS = {
    IMMEDIATE: "G-RA: small rewards for single actions, paid at the end if the grade is 1 (the gate)",
    FIXED_SHARE: "the share of the failing tests that pass at the end, if nothing else broke",
    PATCH_SIMILARITY: "SWE-RL: how alike the change is to the reverse of the bug",
}
"""name -> what it is"""

LOOKED, CHANGED = 0.01, 0.05


def immediate(command: str, exit_code: int, counted: set[str]) -> float:
    """G-RA's reward of one action: something looked at or changed for the first time, without an error.

    Args:
        command: what was run.
        exit_code: how it ended.
        counted: what was rewarded before; updated.
    """
    word = command.split(maxsplit=2)
    if exit_code != 0 or not word or command in counted:
        return 0.0
    counted.add(command)
    return CHANGED if word[0] == "edit" else LOOKED if word[0] in ("view", "search", "cat", "grep", "sed") else 0.0


def patch_similarity(broken: Tree, result: Tree, original: Tree) -> float:
    """SWE-RL's reward: the mean over files of difflib's ratio between two diffs of the broken tree.

    One is the agent's, the other the original's; a file that only one of them touches counts 0 (Wei et al. 2025,
    "SWE-RL", section 2).
    """
    ours = {path for path in {*broken, *result} if broken.get(path) != result.get(path)}
    wanted = {path for path in {*broken, *original} if broken.get(path) != original.get(path)}
    if not ours or not wanted:
        return 0.0
    alike = [
        difflib.SequenceMatcher(None, _diff(broken, result, path), _diff(broken, original, path), False).ratio()
        for path in sorted(ours & wanted)
    ]
    return sum(alike) / len(ours | wanted)


def terminal(names: tuple[str, ...], verdict: Verdict, earned: float, similarity: float) -> float:
    """What the chosen rewards add at the end.

    Args:
        names: which of `REWARDS`.
        verdict: the grade.
        earned: the sum of the immediate rewards.
        similarity: of the patches.
    """
    added = earned if IMMEDIATE in names and verdict.success else 0.0
    if FIXED_SHARE in names and not verdict.success and not verdict.lost_count and not verdict.trouble:
        added += verdict.fixed
    return added + (similarity if PATCH_SIMILARITY in names else 0.0)


def _diff(before: Tree, after: Tree, path: str) -> str:
    old, new = (tree.get(path, b"").decode("utf-8", "replace").splitlines() for tree in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, lineterm="", n=3))[2:])
