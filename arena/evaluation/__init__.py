"""Suites run and scored: statistics, comparison, report."""

from arena.evaluation.comparison import Comparison, compare
from arena.evaluation.config import EvalConfig
from arena.evaluation.evaluate import Evaluation, evaluate, evaluate_async
from arena.evaluation.players import Made
from arena.evaluation.progress import Progress
from arena.evaluation.statistics import Estimate
from arena.evaluation.summary import Section, Summary, summarise

__all__ = [
    "Comparison",
    "Estimate",
    "EvalConfig",
    "Evaluation",
    "Made",
    "Progress",
    "Section",
    "Summary",
    "compare",
    "evaluate",
    "evaluate_async",
    "summarise",
]
