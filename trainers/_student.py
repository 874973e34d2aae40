"""A tiny model for one game: it knows the game's words and nothing else, and learns the rest from episodes.

    student = build_student("student", "arena/Maze-v0", {"size": 4})
    # arena train bc    --env arena/Maze-v0 --model student … -a "<AGENT>"

Its tokens are the phrases that the game uses, and each of its actions is one token unless told otherwise, so
a turn is some twenty tokens to read and one to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from arena.agents.models.tiny import build_tiny_model
from arena.core import registry
from arena.core.env import LegalActions, Oracle, ability
from arena.core.errors import UsageError

AGENT = "chat:window=1,system=nothing.j2,user=actions.j2,max_tokens=1"
"""Shows a student its last action and what it sees now, and takes one token for its next action."""

CONVERSING = "chat:system=nothing.j2,max_tokens=1"
"""Shows it all observations and actions since the episode began."""

_TURNS = 20
_WEIGHT = 30


def build_student(
    folder: str | Path,
    env: str,
    params: Mapping[str, Any] | None = None,
    *,
    episodes: int = 64,
    pieces: Literal["words", "phrases"] = "phrases",
    hidden: int = 64,
    layers: int = 2,
    vocabulary: int = 1000,
    context: int = 256,
    answer: int = 1,
    seed: int = 0,
) -> Path:
    """Write a model folder whose tokens are made for a game that has an oracle and lists its legal actions.

    Args:
        folder: where to write.
        env: environment id; its training tasks are looked at.
        params: the environment's parameters.
        episodes: how many are looked at.
        pieces: what a token may be, as for `build_tiny_model`, and so are
        hidden: width,
        layers: number of blocks,
        vocabulary: most tokens,
        context: longest sequence,
        seed: of the weights.
        answer: most tokens of an action; the agent's max_tokens has to hold them.

    Returns:
        The folder.

    Raises:
        UsageError: an action has more tokens, for want of vocabulary.
    """
    texts, actions = spoken(env, params or {}, episodes)
    built = build_tiny_model(
        folder,
        template="mistral",
        text=[*texts, *_WEIGHT * actions],
        pieces=pieces,
        hidden=hidden,
        layers=layers,
        vocabulary=vocabulary,
        context=context,
        seed=seed,
    )
    _check_actions(built, actions, answer)
    return built


def spoken(env: str, params: Mapping[str, Any], episodes: int) -> tuple[list[str], list[str]]:
    """What a game says while its oracle plays some training tasks, and all actions that were legal then.

    Raises:
        UsageError: the game has no oracle or does not list its legal actions.
    """
    game = registry.make_raw(env, **params)
    oracle, legal = ability(game, Oracle), ability(game, LegalActions)
    if oracle is None or legal is None:
        raise UsageError(f"{env} cannot teach a student its words: it needs an oracle and a list of legal actions.")
    texts: list[str] = []
    actions: dict[str, None] = {}
    for task in registry.tasks(env, "train", episodes, 0, params):
        observation, _ = game.reset(seed=task.seed)
        for _ in range(_TURNS):
            texts.append(str(observation))
            actions |= dict.fromkeys(legal.legal_actions())
            observation, _, terminated, truncated, _ = game.step(oracle.oracle_action())
            if terminated or truncated:
                break
    game.close()
    return texts, list(actions)


def _check_actions(folder: Path, actions: list[str], most: int) -> None:
    from arena.agents.models._weights import load_tokenizer

    tokenizer = load_tokenizer(folder)
    for action in actions:
        number = len(tokenizer.encode(action, add_special_tokens=False))
        if number > most:
            writes = "one" if most == 1 else f"at most {most}"
            raise UsageError(
                f"The action {action!r} is {number} tokens; a student writes {writes}. Give it more vocabulary."
            )


__all__ = ["AGENT", "CONVERSING", "build_student", "spoken"]
