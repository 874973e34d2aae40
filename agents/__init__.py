"""Agents and the models they use. Importing this package makes the built-in ones known by name."""

from __future__ import annotations

from arena.agents._build import build
from arena.core.registry import AGENTS, MODELS

__all__ = ["build"]

AGENTS.register("random", "arena.agents.random:RandomAgent", "draws from the legal actions")
AGENTS.register("oracle", "arena.agents.oracle:OracleAgent", "plays the environment's own solution")
AGENTS.register("idle", "arena.agents.idle:IdleAgent", "does nothing, every turn")
AGENTS.register(
    "scripted", "arena.agents.scripted:ScriptedAgent", "plays a list of actions: actions=FILE or text=ACTION"
)
AGENTS.register("replaying", "arena.agents.replaying:ReplayingAgent", "plays recorded actions again: actions=FILE")
AGENTS.register(
    "noisy", "arena.agents.noisy:NoisyAgent", "slips: another agent's actions (of=oracle), random ones with epsilon=0.3"
)
AGENTS.register("human", "arena.agents.human:HumanAgent", "a person at the terminal")
AGENTS.register("chat", "arena.agents.chat:ChatAgent", "asks a model: the whole conversation, its reply is the action")
AGENTS.register("react", "arena.agents.react:ReactAgent", "asks a model: a thought, then an action")
AGENTS.register(
    "best_of_n", "arena.agents.best_of_n:BestOfNAgent", "asks a model n times; a critic chooses: critic=RUN", "train"
)

MODELS.register("openai", "arena.agents.models.openai:OpenAIModel", "any server that speaks OpenAI's chat completions")
MODELS.register("anthropic", "arena.agents.models.anthropic:AnthropicModel", "Anthropic's messages API")
MODELS.register("hf", "arena.agents.models.local:LocalModel", "local weights through transformers", extra="train")
MODELS.register("tokens", "arena.agents.models.tokens:TokensModel", "a server that takes and gives ids", extra="train")
MODELS.register("scripted", "arena.agents.models.scripted:ScriptedModel", "fixed answers, instantly")
