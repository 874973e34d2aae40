"""The page on recorded episodes is true: its commands are understood, and its algorithms and options exist."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
from pages import DOCS

from arena.agents._build import _options
from arena.cli._critic import with_critic
from arena.core.registry import AGENTS
from arena.core.specs import Spec
from arena.evaluation.collection import CollectConfig, read_shares
from arena.evaluation.config import EvalConfig, with_settings
from arena.trainers._algorithms import ALGORITHMS, algorithm
from arena.trainers._config import TrainConfig
from arena.trainers._data import DataOptions

PAGE = (DOCS / "recorded-episodes.md").read_text(encoding="utf-8").replace("\\\n", " ")
FLAGS = {"--env": "env", "--model": "model", "--data": "data", "--steps": "steps", "-o": "out"}
FLAGS |= {"-a": "agent", "-m": "model", "--critic": "critic", "-g": "group_size", "-c": "config"}
COLLECT = {"--agent": "agents", "-a": "agents", "-n": "episodes"}


def read(command: str) -> tuple[list[str], dict[str, str], list[str]]:
    """The words without a flag, the flags, and the settings."""
    plain, flags, settings = [], {}, []
    words = iter(shlex.split(command))
    for word in words:
        if word == "--set":
            settings.append(next(words))
        elif word.startswith("-"):
            flags[FLAGS[word]] = next(words)
        else:
            plain.append(word)
    return plain, flags, settings


@pytest.mark.parametrize("command", re.findall(r"^\$ arena train (.*)$", PAGE, re.MULTILINE))
def test_a_training_on_the_page_is_understood(command):
    """A reader would copy options that do not exist, or do not go together."""
    (name,), flags, settings = read(command)
    given = {word: flags[word] for word in ("env", "model", "agent", "steps", "group_size") if word in flags}
    values = {**game(flags.get("config")), "algorithm": name, **given, "data": {"runs": [flags["data"]]}}
    TrainConfig.read(with_settings(values, settings))


def game(file):
    """What a file on the page says."""
    if file is None:
        return {}
    return tomllib.loads(re.search(rf'```toml title="{file}"\n(.*?)```', PAGE, re.DOTALL).group(1))


@pytest.mark.parametrize("command", re.findall(r"^\$ arena collect (.*)$", PAGE, re.MULTILINE))
def test_a_collection_on_the_page_is_understood(command):
    words = shlex.split(command)
    given = {word: words[words.index(flag) + 1] for flag, word in COLLECT.items() if flag in words}
    settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    values = {"target": words[0], "agents": read_shares(given["agents"]), "episodes": int(given["episodes"])}
    CollectConfig.read(with_settings(values, settings))


@pytest.mark.parametrize("command", re.findall(r"^\$ arena eval (.*)$", PAGE, re.MULTILINE))
def test_an_evaluation_on_the_page_is_understood(command):
    (target,), flags, _ = read(command)
    model = flags["model"].replace("runs/cloned/model", "hf:runs/cloned/model").replace("hf:hf:", "hf:")
    values = {"target": target, "agent": flags["agent"], "model": model}
    if "critic" in flags:
        values = with_critic(values, flags["critic"])
    EvalConfig.read(values)
    agent = Spec.parse(values["agent"]) if ":" in values["agent"] else Spec(values["agent"])
    assert set(agent.options) <= set(_options(AGENTS.load(agent.kind)))
    assert "critic" in {**agent.options, **Spec.parse(values["model"]).options}


def test_the_tables_name_what_there_is_and_leave_none_out():
    filters = set(re.findall(r"`data\.(\w+)`", PAGE))
    assert filters == set(DataOptions.model_fields) - {"runs"}
    named = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))
    assert {algorithm(name).name for name in named} == {
        name for name, each in ALGORITHMS.items() if each.recorded or name in ("bc", "archer")
    }
