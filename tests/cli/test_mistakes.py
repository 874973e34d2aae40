"""Wrong words: a clear sentence on standard error, nothing on standard output, and the exit code that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typed import Shell

from arena.core import registry

MISTAKES = {
    "evl": "No such command 'evl'. Did you mean 'eval'?",
    "eval": "Name a suite or an environment to evaluate on",
    "eval guess-numbr": "There is no suite called 'guess-numbr'. Did you mean 'guess-number'?",
    "eval arena/Wordl-v0": "Did you mean 'arena/Wordle-v0'?",
    "eval wordle -a orcale": "There is no agent called 'orcale'. Did you mean 'oracle'?",
    "eval wordle -a chat": "The agent chat needs a model. Name one with -m",
    "eval wordle -a chat -m opnai:x": "There is no kind of model called 'opnai'. Did you mean 'openai'?",
    "eval wordle -a chat:windo=3 -m scripted:echo": "has no option 'windo'. Did you mean 'window'?",
    "eval wordle --agnt oracle": "No such option: --agnt",
    "eval wordle --set repeets=3": "there is no option 'repeets', did you mean 'repeats'",
    "eval wordle --set limits.tokns=3": "there is no option 'limits.tokns', did you mean 'tokens'",
    "eval wordle --set repeats": "--set takes KEY=VALUE",
    "eval wordle -k 0": "repeats: input should be greater than or equal to 1",
    "eval wordle -k many": "'--repeats'",
    "eval wordle --limit turn=3": "There is no limit 'turn'. Did you mean turns?",
    "eval wordle --limit turns": "--limit takes NAME=VALUE, not 'turns'.",
    "eval wordle --limit tokens=0": "The limit tokens must be above 0",
    "eval arena/Wordle-v0 --set params.sze=4": "unexpected keyword argument 'sze'. `arena list arena/Wordle-v0` shows",
    "eval wordle --set params.size=4": "wordle is a suite, whose tasks have their own parameters",
    "eval missing.toml": "The suite missing.toml cannot be read",
    "eval wordle -c missing.toml": "The configuration missing.toml cannot be read",
    "eval --resume nowhere": "nowhere is not a run",
    "eval --resume a --out b": "--resume completes a where it is; drop --out.",
    "list sutes": "Did you mean suites?",
    "list arena/Mze-v0": "Did you mean 'arena/Maze-v0'?",
    "play": "Missing argument 'ENV'",
    "play arena/Mze-v0": "Did you mean 'arena/Maze-v0'?",
    "play arena/Maze-v0 --set sze=3": "unexpected keyword argument 'sze'",
    "play arena/Maze-v0 --player o": "--player takes NAME=VALUE",
    "replay nowhere": "nowhere is not a run: it has no run.toml.",
    "compare nowhere here": "nowhere is not a run",
    "check arena/Mze-v0": "Did you mean 'arena/Maze-v0'?",
    "new My-Env": "A package is named in small letters",
    "new class": "A package is named in small letters",
    "new my-env --env thing": "An environment is named like a class",
    "quickstart --suite quickstrt": "Did you mean 'quickstart'?",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_answered_in_words(arena: Shell, line):
    said = arena(*line.split())
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert MISTAKES[line] in said.err
    assert "Traceback" not in said.err
    assert not list(arena.folder.glob("runs/*/episodes/*")), "nothing was run"


@pytest.fixture
def registered() -> Iterator[Callable[..., None]]:
    """`arena.register`, for the time of one test."""
    ids: list[str] = []

    def register(id: str, entry_point: str, **fields: Any) -> None:
        ids.append(id)
        registry.register(id, entry_point, **fields)

    yield register
    for id in ids:
        del registry._environments[id]


def test_what_is_not_installed_is_named_with_the_line_that_installs_it(arena: Shell, registered):
    registered("typed/Absent-v0", "package_that_is_not_there.game:Game", extra="text", max_turns=3)
    for words in (("eval", "typed/Absent-v0"), ("play", "typed/Absent-v0"), ("check", "typed/Absent-v0")):
        said = arena(*words)
        assert said.code == 3
        assert "needs the package package_that_is_not_there" in said.err
        assert '    pip install "arena-gym[text]"' in said.err


def test_a_bug_is_no_traceback_unless_asked_for(arena: Shell, registered):
    registered("typed/Bug-v0", "typed:Said", source="typed:process", max_turns=3)
    said = arena("eval", "typed/Bug-v0")
    assert said.code == 4
    assert said.err.startswith("error: TypeError: ")
    assert "--debug shows where" in said.err
    with pytest.raises(TypeError):
        arena("eval", "typed/Bug-v0", "--debug")
