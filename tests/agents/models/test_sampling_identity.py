"""What a resumed run compares of a model's spec: all that can change an answer, and nothing else."""

from __future__ import annotations

import pytest

from arena.agents.models import sampling_identity
from arena.core.errors import BadSpec
from arena.core.specs import Spec

SAME = [
    (
        "openai:m@http://localhost:8000/v1",
        "openai:m@https://far.example/v1,key_env=OTHER,timeout=5,max_retries=9,wait=1,max_wait=9,max_bytes=99,"
        "rpm=60,tpm=1000,cache=true,free=true",
    ),
    ("anthropic:m", "anthropic:m@http://localhost:1,key_env=OTHER,cache_points=false"),
    ("scripted:echo", "scripted:echo,latency=0.5"),
    ("openai:m,seeded=true,body_min_p=0.1", "openai:m,body_min_p=0.1,seeded=true"),
    ("arena.agents.models.openai:OpenAIModel,rpm=3", "arena.agents.models.openai:OpenAIModel"),
]
DIFFERENT = [
    ("openai:m", "openai:n"),
    ("openai:m", "anthropic:m"),
    ("openai:m", "openai:m,body_min_p=0.1"),
    ("openai:m", "openai:m,reasoning=false"),
    ("openai:m", "openai:m,images=true"),
    ("scripted:replies=a", "scripted:replies=b"),
    ("unheard_of:m", "unheard_of:m,timeout=5"),
    ("unheard_of:m@http://localhost:1", "unheard_of:m@http://localhost:2"),
    ("no.such.module:Model", "no.such.module:Model,timeout=5"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_changes_no_answer_is_left_out(one, other):
    """A run could not be resumed on a server at another port, or with more patience."""
    assert sampling_identity(one) == sampling_identity(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_can_change_an_answer_stays(one, other):
    """A resumed run would mix the answers of two models."""
    assert sampling_identity(one) != sampling_identity(other)


def test_a_local_model_may_move_but_not_compute_otherwise():
    """A run begun on one machine could not be resumed on another, or would be with other numbers."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    line = "hf:./m,context=100,deterministic=true,dtype=float16"
    assert sampling_identity(f"{line},device=cuda,threads=4,max_batch=8,cache_gb=2") == line


def test_the_identity_of_an_identity_is_itself():
    """It is recorded as text and compared with that of another spec."""
    line = sampling_identity('openai:m@http://localhost/v1,rpm=5,body_stop=["a,b"],body_a=null')
    assert line == 'openai:m,body_a=null,body_stop=["a,b"]'
    assert sampling_identity(line) == sampling_identity(Spec.parse(line)) == line


class Plain:
    """A plug-in that says nothing of its options."""

    @classmethod
    def from_spec(cls, spec):
        raise NotImplementedError


class Careful(Plain):
    harmless = frozenset({"colour"})


@pytest.mark.parametrize(("kind", "same"), [("Plain", False), ("Careful", True)])
def test_a_model_of_ones_own_says_what_is_harmless(kind, same):
    """Only its author knows what changes its answers: everything is compared until told otherwise."""
    one, other = f"{__name__}:{kind}@http://a.example,colour=red", f"{__name__}:{kind}@http://b.example,colour=blue"
    assert (sampling_identity(one) == sampling_identity(other)) is same


def test_a_line_that_is_no_spec_is_told_of():
    with pytest.raises(BadSpec, match="neither a spec nor a folder"):
        sampling_identity("what is this?")
