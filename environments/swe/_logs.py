"""What a log of tests says of each, by the names that SWE-bench gives its readers, and what that means for a task.

The outcomes are pytest's words. A line counts as SWE-bench counts it, since lists of tests were made that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from arena.core.errors import UnknownName
from arena.environments.swe._instances import Instance

__all__ = ["BEGIN", "END", "EXIT_CODE", "judge_log", "outcomes_in", "reader"]

BEGIN, END, EXIT_CODE = ">>>>> Start Test Output", ">>>>> End Test Output", ">>>>> Test Exit Code"
"""Between the first two stand the tests' lines; behind the third their exit code."""
Outcomes = dict[str, str]
WORDS = ("FAILED", "PASSED", "SKIPPED", "ERROR", "XFAIL")
FINE, KEPT = ("PASSED", "XFAIL"), ("PASSED", "XFAIL", "SKIPPED")
COUNT = re.compile(r"\[\d+\]")
COLOUR = re.compile(r"\x1b?\[\d+m|[\x01-\x1f]")


def judge_log(instance: Instance, log: str) -> tuple[float, tuple[str, ...], str]:
    """What a log means for a task: the share of the failing tests that pass, the tests that were lost, and trouble.

    Trouble is why the log is not believed: no marks, no outcomes, or an exit code that no outcome explains.
    """
    if BEGIN not in log or END not in log:
        return 0.0, (), "The tests did not come to their end."
    outcomes = outcomes_in(log, instance.log_parser)
    if not outcomes:
        return 0.0, (), "No test was reported."
    code = re.search(rf"{EXIT_CODE}: (-?\d+)", log.rpartition(END)[2])
    if code and int(code[1]) and not {"FAILED", "ERROR"} & set(outcomes.values()):
        return 0.0, (), f"The tests exited with {code[1]}, and none of them was reported as failed."
    if instance.fail_only:
        fixed = sum(outcomes.get(test) != "FAILED" for test in instance.fail_to_pass)
        lost = tuple(test for test in instance.pass_to_pass if outcomes.get(test) == "FAILED")
    else:
        fixed = sum(_found(outcomes, test) in FINE for test in instance.fail_to_pass)
        lost = tuple(test for test in instance.pass_to_pass if _found(outcomes, test) not in KEPT)
    return fixed / len(instance.fail_to_pass), lost, ""


def outcomes_in(log: str, name: str) -> Outcomes:
    """Test -> outcome, from the part of a log between the marks.

    Raises:
        UnknownName: nobody here reads logs of this kind.
    """
    return reader(name)(log.partition(BEGIN)[2].partition(END)[0])


def reader(name: str) -> Callable[[str], Outcomes]:
    """The reader of a name.

    Raises:
        UnknownName: there is none.
    """
    if name not in READERS:
        raise UnknownName("log_parser", name, READERS)
    return READERS[name]


def _found(outcomes: Mapping[str, str], test: str) -> str | None:
    """A test's outcome. Some lists of SWE-bench name tests cut off in their parameters: those that fit must agree."""
    if test in outcomes or test.count("[") <= test.count("]"):
        return outcomes.get(test)
    fitting = [outcome for name, outcome in outcomes.items() if name.startswith(test)]
    return fitting[0] if fitting and len({outcome in FINE for outcome in fitting}) == 1 else None


def _pytest(log: str) -> Outcomes:
    """The summary of pytest (`-rA`): an outcome, and a test without spaces."""
    words = (line.split() for line in log.split("\n") if line.startswith(WORDS))
    return {
        line[1]: line[0] for line in words if len(line) > 1 and not (line[0] == "SKIPPED" and COUNT.fullmatch(line[1]))
    }


def _pytest_options(log: str) -> Outcomes:
    """The same; of a path among the parameters only the last part counts."""
    return {re.sub(r"\[/(?!/)[^*]*/([^/*]*)\]$", r"[/\1]", test): outcome for test, outcome in _pytest(log).items()}


def _pytest_v2(log: str) -> Outcomes:
    """The summary of pytest with tests that hold spaces, or the lines of `--verbose`, in colour or not."""
    found: Outcomes = {}
    for line in log.split("\n"):
        plain = COLOUR.sub("", line)
        if plain.startswith(WORDS):
            outcome, *test = (plain.split(" - ", 1)[0] if plain.startswith("FAILED") else plain).split()
            if test and not (outcome == "SKIPPED" and COUNT.fullmatch(test[0])):
                found[" ".join(test)] = outcome
        elif plain.endswith(WORDS) and len(words := plain.split()) > 1:
            found[" ".join(words[:-1])] = words[-1]
    return found


def _verbose(log: str) -> Outcomes:
    """The lines of pytest's `--verbose` (`test PASSED [ 3%]`), or of its summary."""
    found: Outcomes = {}
    for line in log.split("\n"):
        words = line.split()
        if len(words) > 1 and words[1] in WORDS and "::" in words[0]:
            found[words[0]] = words[1]
        elif len(words) > 1 and words[0] in WORDS and "::" in words[1]:
            found[words[1]] = words[0]
    return found


def _matplotlib(log: str) -> Outcomes:
    return _pytest(log.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3"))


def _django(log: str) -> Outcomes:
    """Django's runner: `test (place) ... ok`; what a test prints may stand between the dots and the word."""
    ends = {"ok": "PASSED", "OK": "PASSED", "FAIL": "FAILED", "ERROR": "ERROR"}
    found: Outcomes = {}
    begun = None
    for line in map(str.strip, log.split("\n")):
        if "--version is equivalent to version" in line:
            found["--version is equivalent to version"] = "PASSED"
        test, dots, said = line.partition(" ...")
        if dots:
            begun = test
            if (word := said.strip().split(" ")[-1]) in ends:
                found[test] = ends[word]
            elif said.strip().startswith("skipped"):
                found[test] = "SKIPPED"
        elif line.startswith(("FAIL: ", "ERROR: ")):
            word, test = line.split()[:2]
            found[test] = ends[word[:-1]]
        elif line.startswith("ok") and begun is not None:
            found[begun] = "PASSED"
    return found


def _sympy(log: str) -> Outcomes:
    """SymPy's runner: `test_x ok`, and a headline for each that failed."""
    found = {f"{file}.py:{test}": "FAILED" for file, test in re.findall(r"_+ (.*)\.py:(.*) _+", log)}
    ends = {"ok": "PASSED", "F": "FAILED", "E": "ERROR"}
    for line in map(str.strip, log.split("\n")):
        words = line.split()
        if line.startswith("test_") and len(words) > 1 and words[-1] in ends:
            found[words[0]] = ends[words[-1]]
    return found


def _seaborn(log: str) -> Outcomes:
    found: Outcomes = {}
    for line in log.split("\n"):
        words = line.split()
        if len(words) > 1 and words[0] in ("FAILED", "PASSED"):
            found[words[1]] = words[0]
        elif len(words) > 1 and words[1] == "PASSED":
            found[words[0]] = "PASSED"
    return found


def _named(read: Callable[[str], Outcomes], *names: str) -> dict[str, Callable[[str], Outcomes]]:
    return {f"parse_log_{name}": read for name in names}


READERS: Mapping[str, Callable[[str], Outcomes]] = {
    **_named(_pytest, "pytest", "astroid", "flask", "marshmallow", "pvlib", "pyvista", "sqlfluff", "xarray"),
    **_named(_pytest_options, "pytest_options", "pydicom", "requests", "pylint"),
    **_named(_pytest_v2, "pytest_v2", "astropy", "scikit", "sphinx"),
    **_named(_verbose, "pytest_verbose"),
    **_named(_matplotlib, "matplotlib"),
    **_named(_django, "django"),
    **_named(_sympy, "sympy"),
    **_named(_seaborn, "seaborn"),
}
"""SWE-bench's readers of Python tests, and `parse_log_pytest_verbose`, for SWE-smith's lists."""
