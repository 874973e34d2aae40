"""Models: language models behind `arena.core.model.Model`, built from one line of text.

    openai:NAME[@URL][,key=value…]       any server that speaks OpenAI's chat completions
    anthropic:NAME[@URL][,key=value…]    Anthropic's messages API
    hf:FOLDER[,key=value…]               local weights through transformers
    tokens:NAME@URL,tokenizer=FOLDER     a server that takes ids and gives ids, such as vLLM
    scripted:FILE.json or scripted:echo  fixed answers, for tests, benchmarks and demonstrations
    MODULE:CLASS[,key=value…]            a model of one's own

A kind of model is a class with the class method `from_spec(spec: Spec) -> Model`, known by a name
(`arena.core.registry.MODELS.register`, or an entry point in the group `arena.models`) or by where it is. It
reads the options it knows, raises `BadSpec` for those it does not, and building from `model.spec` makes an
equal model in any process. Its attribute `harmless`, a frozenset, may name the options that change no answer,
such as a timeout: a run may be resumed with others, and at another URL.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

from arena.core.errors import MissingPrerequisite, UnknownName
from arena.core.registry import MODELS
from arena.core.specs import Spec

if TYPE_CHECKING:
    from arena.core.model import Model

__all__ = ["build", "sampling_identity"]


def build(spec: str | Spec) -> Model:
    """The model a spec names.

    Raises:
        BadSpec: the spec cannot be read, or the kind has no such option.
        UnknownName: there is no such kind of model.
        MissingPrerequisite: the kind's packages are not installed.
        UsageError: something it needs is not set, such as the variable that holds a key.
    """
    parsed = Spec.parse(spec) if isinstance(spec, str) else spec
    return cast("Model", _find(parsed).from_spec(parsed))


def sampling_identity(spec: str | Spec) -> str:
    """What of a spec can change an answer, in one form: two specs that differ in nothing else give equal texts.

    That is the kind, the name, and the options in the order of their names, without those that the kind calls
    `harmless`. Of a kind that calls none so, or is not known here, the URL and every option stay.

    Raises:
        BadSpec: the spec cannot be read.
    """
    parsed = Spec.parse(spec) if isinstance(spec, str) else spec
    try:
        harmless: frozenset[str] | None = getattr(_find(parsed), "harmless", None)
    except (UnknownName, MissingPrerequisite):
        harmless = None
    options = {key: parsed.options[key] for key in sorted(parsed.options) if key not in (harmless or ())}
    return str(Spec(parsed.kind, parsed.name, parsed.url if harmless is None else "", options))


def _find(spec: Spec) -> Any:
    """The class a spec names, registered or one's own."""
    try:
        return MODELS.load(spec.kind)
    except UnknownName:
        if not spec.name:
            raise
    try:
        module = importlib.import_module(spec.kind)
    except ModuleNotFoundError as error:
        if not f"{spec.kind}.".startswith(f"{error.name}."):
            raise
        raise UnknownName("kind of model", spec.kind, MODELS.names()) from None
    found = getattr(module, spec.name, None)
    if not hasattr(found, "from_spec"):
        classes = [name for name, value in vars(module).items() if hasattr(value, "from_spec")]
        raise UnknownName(f"model in the module {spec.kind}", spec.name, classes)
    return found
