"""Dockerfiles that are followed without their image."""

from __future__ import annotations

import pytest

from arena.core.errors import UsageError
from arena.environments.terminal._dockerfile import Copy, Run, read_dockerfile

TEXT = """\
# syntax=docker/dockerfile:1
FROM --platform=linux/amd64 python:3.12-slim AS base
ENV HOME_OF=/srv LANG=C
RUN apt-get update && \\
    # a comment in between
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tmux make && \\
    rm -rf /var/lib/apt/lists/*
WORKDIR /srv
WORKDIR app
COPY --chown=1000 a.txt "b c.txt" data/
ADD run.sh $HOME_OF/start.sh
RUN ["sh", "-c", "echo one two"]
RUN <<EOF
echo first
echo second
EOF
RUN apt-get install -y jq && echo done >done.txt
CMD ["bash"]
"""


def test_every_instruction_is_read(tmp_path):
    (tmp_path / "Dockerfile").write_text(TEXT)
    recipe = read_dockerfile(tmp_path / "Dockerfile")
    assert (recipe.base, recipe.workdir, recipe.replaceable) == ("python:3.12-slim", "/srv/app", True)
    assert recipe.packages == ["tmux", "make", "jq"]
    assert recipe.env == {"HOME_OF": "/srv", "LANG": "C"}
    assert recipe.steps == [
        Copy(("a.txt", "b c.txt"), "/srv/app/data", True),
        Copy(("run.sh",), "/srv/start.sh", False),
        Run("sh -c 'echo one two'", "/srv/app"),
        Run("echo first\necho second\n", "/srv/app"),
        Run("echo done >done.txt", "/srv/app"),
    ]


@pytest.mark.parametrize(
    ("base", "replaceable"),
    [
        ("debian:12", True),
        ("ubuntu", True),
        ("docker.io/library/python:3.13-slim-bookworm", True),
        ("ghcr.io/laude-institute/t-bench/python-3-13:20250620", True),
        ("postgres:16", False),
        ("node:20-bookworm", False),
    ],
)
def test_our_image_stands_in_for_plain_ones_only(tmp_path, base, replaceable):
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\n")
    assert read_dockerfile(tmp_path / "Dockerfile").replaceable is replaceable


@pytest.mark.parametrize(("line", "told"), [("ONBUILD RUN x", "ONBUILD"), ("COPY --from=x a b", "real build")])
def test_what_cannot_be_followed_says_so(tmp_path, line, told):
    (tmp_path / "Dockerfile").write_text(f"FROM debian\n{line}\n")
    with pytest.raises(UsageError, match=told):
        read_dockerfile(tmp_path / "Dockerfile")
    (tmp_path / "Dockerfile").write_text("ENV A=1\n")
    with pytest.raises(UsageError, match="FROM"):
        read_dockerfile(tmp_path / "Dockerfile")
