"""One engine that runs agents in environments, with limits, and writes records."""

from arena.rollout.engine import Engine
from arena.rollout.jobs import Job, Prefix
from arena.rollout.limits import Budget, Limits
from arena.rollout.recorder import RecordedModel, model_attribute, model_of

__all__ = ["Budget", "Engine", "Job", "Limits", "Prefix", "RecordedModel", "model_attribute", "model_of"]
