"""Environments are known by name without their code, and a wrong name says what was meant."""

from __future__ import annotations

import sys

import gymnasium
import pytest

from arena.core import registry
from arena.core.env import Env
from arena.core.errors import MissingPrerequisite, UnknownName, UsageError
from arena.core.task import Task


class Greeter(Env):
    instructions = "Greet."

    def __init__(self, language: str = "en") -> None:
        self.language = language

    def _reset(self, task):
        return self.language, {}


@pytest.fixture
def register():
    """Registers as `registry.register`, until the test ends."""
    names = []

    def known(id, entry_point=f"{__name__}:Greeter", **fields):
        names.append(id)
        registry.register(id, entry_point, **fields)

    yield known
    for name in names:
        registry._environments.pop(name, None)
        gymnasium.registry.pop(name, None)


def test_it_is_made_with_parameters_by_us_and_by_gymnasium(register):
    register("hall/Greeter-v0")
    for make in (registry.make, registry.make_raw, gymnasium.make):
        assert make("hall/Greeter-v0", language="fr").reset(seed=1)[0] == "fr"


def test_registering_imports_nothing(register):
    """A newcomer without an extra must still be able to list everything."""
    register("hall/Lazy-v0", "no_such_module_at_all:Thing", summary="…")
    assert registry.environments()["hall/Lazy-v0"].summary == "…"
    assert "no_such_module_at_all" not in sys.modules


@pytest.mark.parametrize("name", ["hall/Greter-v0", "Greeter-v0", "hall/Greeter-v1"])
def test_a_misspelt_name_says_what_was_meant(register, name):
    register("hall/Greeter-v0")
    with pytest.raises(UnknownName, match="Did you mean 'hall/Greeter-v0'"):
        registry.make(name)


def test_a_module_may_be_named_before_the_id(register, tmp_path, monkeypatch):
    """An environment in a file of one's own needs no packaging."""
    code = f"from arena.core import registry\nregistry.register('own/Greeter-v0', '{__name__}:Greeter')"
    (tmp_path / "own_greeter.py").write_text(code)
    (tmp_path / "own_broken.py").write_text("import a_package_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert registry.registration("own_greeter:own/Greeter-v0").id == "own/Greeter-v0"
    finally:
        registry._environments.pop("own/Greeter-v0")
        gymnasium.registry.pop("own/Greeter-v0")
    with pytest.raises(UnknownName, match="own_greter"):
        registry.registration("own_greter:own/Greeter-v0")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        registry.registration("own_broken:own/Greeter-v0")


def test_a_missing_extra_says_how_to_install_it(register):
    register("hall/Extra-v0", "no_such_module_at_all:Thing", extra="text")
    with pytest.raises(MissingPrerequisite, match=r'pip install "arena-gym\[text\]"'):
        registry.make("hall/Extra-v0")


def test_what_cannot_be_is_refused(register):
    register("hall/Greeter-v0")
    with pytest.raises(UsageError, match="colour"):
        registry.make("hall/Greeter-v0", colour="red")
    with pytest.raises(UsageError, match=r"colour.*fields are"):
        register("hall/Other-v0", colour="red")
    with pytest.raises(UsageError, match="'parallel'"):
        register("hall/Other-v0", execution="parallel")


def test_tasks_are_a_prefix_of_any_longer_list_and_carry_the_limit(register):
    register("hall/Greeter-v0", max_turns=7)
    few, many = (registry.tasks("hall/Greeter-v0", "train", n, 3, {"language": "fr"}) for n in (2, 9))
    assert many[:2] == few
    assert {(task.max_turns, task.params["language"], task.split) for task in many} == {(7, "fr", "train")}


def greetings(split, seed):
    return (Task(env, s) for env in ("hall/Greeter-v0", "hall/Other-v0") for s in range(2))


def test_tasks_name_the_environment_as_it_was_asked_for(register):
    """An environment in a module of one's own could not be imported by who reads the tasks in a record."""
    register("hall/Greeter-v0", source=f"{__name__}:greetings")
    named = registry.tasks("json:hall/Greeter-v0", n=4)
    assert [task.env for task in named] == ["json:hall/Greeter-v0"] * 2 + ["hall/Other-v0"] * 2
    assert [task.env for task in registry.tasks("hall/Greeter-v0", n=1)] == ["hall/Greeter-v0"]


@pytest.mark.parametrize("arguments", [("dev", 1), ("eval", 0), ("eval", -3)])
def test_tasks_that_cannot_be_drawn_are_refused(register, arguments):
    register("hall/Greeter-v0")
    with pytest.raises(UsageError):
        registry.tasks("hall/Greeter-v0", *arguments)


def two_tasks(split, seed):
    return iter(registry.tasks("hall/Greeter-v0", split, 2, seed))


def test_a_source_with_too_few_tasks_says_how_many_there_are(register):
    register("hall/Greeter-v0")
    register("hall/Few-v0", source=f"{__name__}:two_tasks")
    with pytest.raises(UsageError, match="only 2 eval tasks"):
        registry.tasks("hall/Few-v0", "eval", 3)


def test_an_unknown_suite_names_the_known_ones():
    with pytest.raises(UnknownName, match="no suite called 'no-such-suite'"):
        registry.suite("no-such-suite")


def test_a_catalog_names_what_it_has():
    catalog = registry.Catalog("cook", "arena.cooks")
    catalog.register("pasta", f"{__name__}:Greeter")
    catalog.register("soup", "no_such_module_at_all:Soup", extra="train")
    assert catalog.load("pasta") is Greeter
    with pytest.raises(UnknownName, match="There is no cook called 'pizza'"):
        catalog.load("pizza")
    with pytest.raises(MissingPrerequisite, match=r"arena-gym\[train\]"):
        catalog.load("soup")
