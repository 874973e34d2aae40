"""The contract check: holds an environment to every promise that agents, records and trainers build on.

    from arena.core.checks import check
    report = check("arena/Wordle-v0", deep=True)
    assert report.passed, str(report)

`arena check ID [--deep]` is the same on the command line, `EnvContract` the same in pytest.
"""

from arena.core.checks._contract import EnvContract
from arena.core.checks._report import Report, Result
from arena.core.checks._runner import CHECKS, check

__all__ = ["CHECKS", "EnvContract", "Report", "Result", "check"]
