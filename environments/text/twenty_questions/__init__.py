"""Twenty questions about everyday things; the answers come from a table of facts, not from a model."""

from arena.environments.text.twenty_questions.game import TwentyQuestions, secrets, tasks

__all__ = ["TwentyQuestions", "secrets", "tasks"]
