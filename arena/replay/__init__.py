"""Recorded episodes run again: verify, fork."""

from arena.replay.execute import Divergence, Execution, execute, execute_all
from arena.replay.fork import fork_job

__all__ = ["Divergence", "Execution", "execute", "execute_all", "fork_job"]
