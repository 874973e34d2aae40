"""Models: language models behind `arena.core.model.Model`, built from one line of text.

    openai:NAME[@URL][,key=value…]       any server that speaks OpenAI's chat completions
    anthropic:NAME[@URL][,key=value…]    Anthropic's messages API
    hf:FOLDER[,key=value…]               local weights through transformers
    scripted:FILE.json or scripted:echo  fixed answers, for tests, benchmarks and demonstrations

A kind of model is a class that is registered by name (`arena.core.registry.MODELS.register`, or an entry
point in the group `arena.models`) and has the class method `from_spec(spec: Spec) -> Model`. It reads the
options it knows, raises `BadSpec` for the ones it does not, and `str(model.spec)` builds an equal model in
any process. Nothing is loaded or connected before the first `complete`, unless the options say otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from arena.core.registry import MODELS
from arena.core.specs import Spec

if TYPE_CHECKING:
    from arena.core.model import Model

__all__ = ["build"]


def build(spec: str | Spec) -> Model:
    """The model a spec names.

    Raises:
        BadSpec: the spec cannot be read, or the kind has no such option.
        UnknownName: there is no such kind of model.
        MissingPrerequisite: the kind's packages are not installed.
        UsageError: something it needs is not set, such as the variable that holds a key.
    """
    parsed = Spec.parse(spec) if isinstance(spec, str) else spec
    return cast("Model", MODELS.load(parsed.kind).from_spec(parsed))  # type: ignore[attr-defined]
