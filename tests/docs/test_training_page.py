"""The page on training is true: every command on it can be configured, and the options it names exist."""

from __future__ import annotations

import re
import shlex

import pytest
from pages import DOCS

from arena.evaluation.config import with_settings
from arena.trainers._config import TrainConfig

PAGE = (DOCS / "training.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ arena train (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_the_page_is_understood(command):
    """A reader would copy options that do not exist, or do not go together."""
    words = shlex.split(command)
    values = {"algorithm": words[0], **dict(zip(("env", "model"), (words[2], words[4]), strict=True))}
    assert (words[1], words[3]) == ("--env", "--model")
    if "--sampler" in words:
        place = words.index("--sampler")
        values["sampler"] = words[place + 1]
        del words[place : place + 2]
    settings = words[5:]
    assert settings[::2] == ["--set"] * (len(settings) // 2)
    TrainConfig.read(with_settings(values, settings[1::2]))


def test_the_options_of_the_table_exist():
    (table,) = re.findall(r"^\| option \|.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 12
    for name in names:
        kind, _, own = name.partition(".")
        field = TrainConfig.model_fields[kind]
        if kind != "settings" and own:
            assert own in type(field.default).model_fields
