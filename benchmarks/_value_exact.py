"""Whether a critic of tokens ranks the moves of a maze rightly: beside exact distances, in held-out states.

The states are those that the clone met in held-out mazes, where nobody has played before. Letters: T states, V tokens
of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._value_runs import append, lines_of, read_turns
from benchmarks._value_tasks import TASKS

NAMES = ("bc", "mc", "ilql")
"""Who is asked: `bc` by the logits of its policy."""

MAZES = ("maze", "maze-new")
"""Tasks whose observation names the square, so that a move's worth is known from it."""

_EPISODES = 50


@dataclass(frozen=True)
class Ranked:
    """What the scores of one run's four moves are worth.

    Attributes:
        task, name, seed: which run.
        states: how many were asked about.
        chance: share of the moves that lead nearer to the goal.
        nearer: share of states in which the move that it holds best does.
        slope: of its advantages over the exact ones: 1 where they are the same, 0 where they are unrelated.
        others: share of states in which it holds another token than the four moves best.
        finished: when.
    """

    task: str
    name: str
    seed: int
    states: int
    chance: float
    nearer: float
    slope: float
    others: float
    finished: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Names the run."""
        return self.task, self.name, self.seed


def read(file: Path) -> list[Ranked]:
    """What has been asked; nothing where there is no file."""
    return [Ranked(**line) for line in lines_of(file)]


def ask_missing(wanted: Iterable[tuple[str, str, int]], file: Path, work: Path) -> None:
    """Ask about the finished runs that the file lacks, and append an answer for each."""
    for task, name, seed in wanted:
        folder = work / f"{task}-{seed}"
        asked = (task, name, seed) not in {found.key for found in read(file)}
        if asked and task in MAZES and name in NAMES and (folder / name / "model").exists():
            append(file, ranked(task, name, seed, folder))


def ranked(task: str, name: str, seed: int, folder: Path) -> Ranked:
    """Ask one run about the states that the clone beside it met."""
    model, agent = folder / "bc" / "model", TASKS[task].agent
    policy, episodes, rows = read_turns(folder / "played-bc", model, agent, 1.0, _EPISODES)
    prompts = rows.sequences["prompt"]
    exact, moves = exact_worth(episodes)
    tokens = [policy.tokenizer.encode(move, add_special_tokens=False)[0] for move in moves]
    scores = scores_after(prompts, policy.network, folder / name / "critic")
    found = scores[:, tokens]
    best = exact == exact.max(axis=1, keepdims=True)
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (found, exact))
    return Ranked(
        task,
        name,
        seed,
        len(prompts),
        round(float(best.mean()), 4),
        round(float(best[np.arange(len(best)), found.argmax(axis=1)].mean()), 4),
        round(float((one * other).sum() / (other**2).sum()), 4),
        round(float((scores.max(axis=1) > found.max(axis=1)).mean()), 4),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def exact_worth(episodes: Sequence[Any]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Minus the moves to the goal from where each move leads, at each turn (T, 4), and the moves' names."""
    from arena.core import registry
    from arena.environments.text._mazes import steps_to
    from arena.environments.text.maze import MOVES

    found = []
    for episode in episodes:
        game: Any = registry.make_raw(episode.task.env, **episode.task.params)
        game.reset(seed=episode.task.seed)
        steps, width = steps_to(game.state.grid, game.state.goal), len(game.state.grid[0])
        for turn in episode.turns:
            row, column = game.state.position
            here = row * width + column
            found.append([-steps.get(here + down * width + right, steps[here]) for down, right in MOVES.values()])
            game.step(turn.action)
    return np.array(found, np.float64), tuple(MOVES)


def scores_after(prompts: Sequence[NDArray[Any]], network: Any, critic: Path) -> NDArray[np.float64]:
    """The least Q of every token after each prompt (T, V), or the network's logits where there is no critic."""
    import torch

    from arena.agents.models.critic import Critic
    from arena.agents.models.critic_scores import least, q_heads

    judge, found = Critic.load(critic) if critic.exists() else None, []
    with torch.inference_mode():
        for start in range(0, len(prompts), 64):
            part = [torch.tensor(np.asarray(ids), dtype=torch.long) for ids in prompts[start : start + 64]]
            lengths = torch.tensor([len(ids) for ids in part])
            ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            attention, last = (torch.arange(ids.shape[1]) < lengths[:, None]).long(), torch.arange(len(part))
            if judge is None:
                scores = network(input_ids=ids, attention_mask=attention).logits[last, lengths - 1]
            else:
                scores = least(judge, q_heads(judge, str(critic)), judge.hidden(ids, attention)[last, lengths - 1])
            found.append(scores.double().numpy())
    return np.concatenate(found)


__all__ = ["MAZES", "NAMES", "Ranked", "ask_missing", "exact_worth", "ranked", "read", "scores_after"]
