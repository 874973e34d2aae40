"""Agents and the models they use. Importing this package makes the built-in ones known by name."""

from __future__ import annotations

from arena.core.registry import MODELS

MODELS.register("openai", "arena.agents.models.openai:OpenAIModel", "any server that speaks OpenAI's chat completions")
MODELS.register("anthropic", "arena.agents.models.anthropic:AnthropicModel", "Anthropic's messages API")
MODELS.register("hf", "arena.agents.models.local:LocalModel", "local weights through transformers", extra="train")
MODELS.register("scripted", "arena.agents.models.scripted:ScriptedModel", "fixed answers, instantly")
