"""What a contract check found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]

_SIGNS = {"passed": "ok  ", "failed": "FAIL", "skipped": "-   "}


class Violation(Exception):
    """A promise that an environment does not keep.

    Args:
        expected: what the contract says.
        found: what the environment did instead.
        remedy: what its author can do about it.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"expected: {expected}\nfound:    {found}\nto do:    {remedy}")


class NotApplicable(Exception):
    """A check has nothing to look at here; says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found.

    Attributes:
        name: the check's name.
        detail: for `failed` what was expected, found and is to be done; for `skipped` the reason; for `passed` a
            remark, mostly empty.
        seconds: wall time it took.
    """

    name: str
    status: Status
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What all checks found on the environment `id`. `str(report)` is its text."""

    id: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Result, ...]:
        """The failed ones."""
        return tuple(result for result in self.results if result.status == "failed")

    def text(self) -> str:
        """The report to read, a line per check and more for a failed one."""
        return "\n".join(self._lines())

    __str__ = text

    def to_json(self) -> dict[str, Any]:
        """The report for a program: id, passed, and a list of results."""
        return {"id": self.id, "passed": self.passed, "results": [asdict(result) for result in self.results]}

    def _lines(self) -> Iterator[str]:
        yield self.id
        for result in self.results:
            remark = "" if result.status == "failed" or not result.detail else f"  {result.detail}"
            yield f"  {_SIGNS[result.status]} {result.name}{remark}"
            if result.status == "failed":
                yield from (f"         {line}" for line in result.detail.splitlines())
        counts = [
            f"{sum(result.status == status for result in self.results)} {status}" for status in ("passed", "failed")
        ]
        skipped = sum(result.status == "skipped" for result in self.results)
        seconds = sum(result.seconds for result in self.results)
        yield f"{', '.join(counts)}{f', {skipped} skipped' if skipped else ''} in {seconds:.1f} s"
