"""Multi-turn RL: one file per algorithm, and the functions they share.

Credit is NumPy over a table of turns and loads no torch:

    from arena.trainers import TurnTable, gigpo
    table = TurnTable.from_episodes(episodes)
    advantages = gigpo.advantages(table, gigpo.Config())
"""

from __future__ import annotations

from arena.trainers import gigpo, grpo, gspo, loop, opo, ppo, reinforce, reinforce_pp, rloo
from arena.trainers._episodes import observation_texts
from arena.trainers._table import TurnTable

__all__ = [
    "TurnTable",
    "gigpo",
    "grpo",
    "gspo",
    "loop",
    "observation_texts",
    "opo",
    "ppo",
    "reinforce",
    "reinforce_pp",
    "rloo",
]
