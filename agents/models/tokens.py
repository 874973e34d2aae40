"""A served model that takes ids and gives ids: the conversation is turned into tokens here, never there.

    tokens:qwen3@http://localhost:8000,tokenizer=./my-model                  vLLM's /v1/completions
    tokens:qwen3@http://localhost:8000,tokenizer=./my-model,route=generate   vLLM's /inference/v1/generate

The chat template is applied as for local weights: an episode is one growing sequence of ids, and what was
sampled is never tokenised again. So these episodes can be trained on, which those of chat completions cannot.
While `arena train --sampler tokens:…` runs, the same server is given new weights after each update: see `push`.

A vLLM for it (its switches in brackets are for training only):

    [VLLM_SERVER_DEV_MODE=1] vllm serve ./my-model --served-model-name qwen3 --logprobs-mode processed_logprobs

With adapters: `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve ./my-model … --enable-lora --max-loras 2
--max-lora-rank 16`, and no dev mode.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from arena.agents.models import _weights
from arena.agents.models._completion import answer_limit, completion_of
from arena.agents.models._draw import Settings
from arena.agents.models._engine import stop_ids_of
from arena.agents.models._http import Json
from arena.agents.models._key import Key
from arena.agents.models._remote import Answer, Provider, RemoteModel
from arena.agents.models._template import ChatEncoder, Prompt
from arena.agents.models._tokens_wire import ROUTES, read_tokens, write_request
from arena.core.errors import BadSpec, UsageError
from arena.core.model import Traits, conversation

if TYPE_CHECKING:
    from arena.agents.models._options import Options
    from arena.core.messages import Completion, Message, Sampling, Tool
    from arena.core.specs import Spec

__all__ = ["ChatFormat", "TokensModel"]

_URL = "http://localhost:8000"
_ADAPTERS = 2
"""Adapters that a server keeps: the newest, and the one before for requests that are tried again."""

_TRIMMED = ("/v1/completions", "/inference/v1/generate", "/v1")


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What the ids of a model mean.

    Attributes:
        encoder: turns conversations into ids.
        stop_ids: ids that end an answer.
        defaults: the model's `generation_config`.
        context: the most ids of a sequence, the answer included.
    """

    encoder: ChatEncoder
    stop_ids: frozenset[int]
    defaults: Any
    context: int

    @classmethod
    def of(cls, tokenizer: Any, defaults: Any, context: int) -> ChatFormat:
        """That of a tokenizer with a chat template."""
        encoder = ChatEncoder(tokenizer)
        return cls(encoder, stop_ids_of(defaults, tokenizer, encoder), defaults, context)

    @classmethod
    def load(cls, name: str, context: int | None) -> ChatFormat:
        """That of a model folder, or of a name on the Hugging Face hub; no weights are read.

        Raises:
            UsageError: no such folder, or one without a tokenizer or chat template.
        """
        from transformers import GenerationConfig

        folder = _weights.find_folder(name)
        tokenizer = _weights.load_tokenizer(folder)
        given = (folder / "generation_config.json").exists()
        defaults = GenerationConfig.from_pretrained(folder) if given else GenerationConfig()
        known = tokenizer.model_max_length
        longest = known if isinstance(known, int) and 0 < known < 2**31 else None
        return cls.of(tokenizer, defaults, context or longest or 4096)


class TokensModel(RemoteModel):
    """A model behind a route that takes ids and gives ids with their log-probabilities.

    `tokens:NAME[@URL],tokenizer=FOLDER[,key=value…]`, by default at http://localhost:8000 without a key.
    Options beside those of `Remote` (`cache` is refused: the weights behind one name change):

        tokenizer      the model folder (or hub name) whose tokenizer and chat template are used; in training
                       it is the policy's own
        route          completions (`/v1/completions`, the default) or generate (`/inference/v1/generate`)
        logprob_kind   raw or sampled: what the server's log-probabilities are of (raw; sampled for a vLLM
                       started with `--logprobs-mode processed_logprobs`)
        context        the longest sequence (the tokenizer's own limit)
        push           reload or adapter: how new weights reach the server (adapter where adapters are
                       trained, else reload)

    Every request says all that decides an answer, so a server's own sampling defaults do not matter: a field of
    `Sampling` that is None follows the folder's generation_config.json, as for local weights.

    Attributes:
        policy_version: which weights answer; written into every completion unless the server names its own.
    """

    harmless = RemoteModel.harmless | {"push"}
    provider = Provider(_URL, ROUTES["completions"], _TRIMMED, Key(""), free=True)

    def __init__(self, spec: Spec, chat_format: ChatFormat | None = None) -> None:
        """As `from_spec`; with `chat_format` no tokenizer is read.

        Raises:
            BadSpec: an option or the URL cannot be read, or no tokenizer is named.
            UsageError: the folder of the tokenizer is missing or has no chat template.
        """
        self._format, self._given = chat_format, frozenset(spec.options)
        self._adapters: list[str] = []
        self._versions: set[str] = set()
        self.policy_version = ""
        super().__init__(spec)

    def _provider(self, options: Options) -> Provider:
        self._route = options.text("route", "completions", tuple(ROUTES)) or ""
        return dataclasses.replace(self.provider, path=ROUTES[self._route])

    def _configure(self, options: Options) -> Traits:
        if "cache" in self._given:
            raise BadSpec(f"{self.spec}: answers are not cached, since the weights behind one name change.")
        kind = options.text("logprob_kind", "raw", ("raw", "sampled"))
        self.logprob_kind: Literal["raw", "sampled"] = "sampled" if kind == "sampled" else "raw"
        self._context = options.whole("context", 0) or None
        self.push_by = options.text("push", None, ("reload", "adapter"))
        self._tokenizer = options.text("tokenizer")
        if self._format is not None:
            tools = self._format.encoder.takes_tools
        elif self._tokenizer is not None:
            tools = "tools" in _weights.template_of(_weights.find_folder(self._tokenizer))
        else:
            raise BadSpec(
                f"{self.spec} says nothing about its tokens: name the model folder whose tokenizer and chat template "
                "are used, tokenizer=FOLDER."
            )
        return Traits(identity=self._remote.name, tools=tools, seeded=True, token_ids=True, priced=self._remote.priced)

    async def _ready(self) -> ChatFormat:
        if self._format is None:
            self._format = await asyncio.to_thread(ChatFormat.load, str(self._tokenizer), self._context)
        return self._format

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation: see `arena.core.model.Model.complete`.

        With `after`, the prompt is that completion's ids with the new ones appended, unless the chat template
        does not keep its prefix: then the conversation is encoded afresh.
        """
        form = await self._ready()
        prompt = form.encoder.encode(messages, tools, after)
        limit = answer_limit(prompt, form.context, sampling, form.defaults)
        settings = Settings.of(sampling, form.defaults)
        body = write_request(
            self._route,
            self._adapters[-1] if self._adapters else self._remote.name,
            prompt.ids,
            settings,
            limit=limit,
            stop=sampling.stop,
            stop_ids=sorted(form.stop_ids),
        )
        whole = conversation(messages, after)
        read = self._reader(form, prompt, settings, sampling, tools=bool(tools))
        return (await self._remote.ask(whole, body | self._remote.fields, sampling, read)).following(whole)

    def _reader(
        self, form: ChatFormat, prompt: Prompt, settings: Settings, sampling: Sampling, *, tools: bool
    ) -> Callable[[Json], Answer]:
        """Reads the answer to a request that is sent now."""
        # Answers in progress while weights change are finished first, so these are the weights that it comes from;
        # where it waited instead, they are newer than it says, which only makes it look older than it is.
        version = self.policy_version
        plain = settings.temperature == 1 and settings.top_p == 1 and settings.top_k == 0
        kind = self.logprob_kind
        if plain or settings.greedy:
            kind = "raw" if settings.greedy else "sampled"

        adapted = bool(self._adapters)

        def read(reply: Json) -> Answer:
            sampled, said = read_tokens(reply, prompt.ids, self.spec)
            said = None if adapted else said  # what it names is then the weights below the adapter
            self._check_version(said)
            completion = completion_of(
                form.encoder,
                prompt,
                dataclasses.replace(sampled, policy_version=said or version),
                stop=sampling.stop,
                stop_ids=form.stop_ids,
                tools=tools,
                kind=kind,
            )
            return Answer(completion, metered=True)

        return read

    def _check_version(self, said: str | None) -> None:
        """A server that is given weights must answer from those it was given.

        Raises:
            UsageError: it names weights that nobody here gave it.
        """
        if said is not None and self._versions and said not in self._versions:
            raise UsageError(
                f"{self.spec} answered from the weights {said!r}; it was given {self.policy_version!r}. Does another "
                "run push to the same server? Give each run a server of its own."
            )

    async def push(self, folder: str | Path, version: str, *, adapter: bool = False) -> None:
        """Give the server new weights; from then on completions come from `version`.

        Whole weights, on a vLLM with VLLM_SERVER_DEV_MODE=1: `/pause?mode=wait` (answers in progress finish, new
        ones wait), `/collective_rpc` with `reload_weights` from the folder, `/reset_prefix_cache`,
        `/update_weight_version` where the server knows it, `/resume`. An adapter, on a vLLM with `--enable-lora`
        and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1: `/v1/load_lora_adapter` under the name NAME-VERSION, which requests
        then ask for, and `/v1/unload_lora_adapter` for all but the one before.

        Args:
            folder: what `save_pretrained` wrote, at a path that the server sees too.
            version: names the weights.
            adapter: the folder holds an adapter.

        Raises:
            ModelUnavailable: the server gave no usable answer after the retries.
            UsageError: it takes no weights.
        """
        path = str(Path(folder).resolve())
        try:
            if adapter:
                await self._load_adapter(path, version)
            else:
                await self._reload(path, version)
        except UsageError as error:
            needs = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora" if adapter else "VLLM_SERVER_DEV_MODE=1"
            raise UsageError(f"{error} To take new weights a vLLM server is started with {needs}.") from error
        self.became(version, adapter=adapter)

    def became(self, version: str, *, adapter: bool = False) -> None:
        """The server was given new weights, by whomever: from now on completions come from `version`."""
        if adapter:
            name = self._named(version)
            self._adapters = [*(known for known in self._adapters if known != name), name][-_ADAPTERS:]
        else:
            self._adapters.clear()
        self._versions.add(version)
        self.policy_version = version
        self.traits = dataclasses.replace(self.traits, identity=f"{self._remote.name}+{version}")

    async def _reload(self, path: str, version: str) -> None:
        command = self._remote.command
        await command("/pause?mode=wait", {})
        try:
            await command("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": path}})
            await command("/reset_prefix_cache", {})
            with contextlib.suppress(UsageError):  # older vLLMs keep no version
                await command("/update_weight_version", {"new_version": version})
        finally:
            await command("/resume", {})

    async def _load_adapter(self, path: str, version: str) -> None:
        command, name = self._remote.command, self._named(version)
        await command("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        for old in [known for known in self._adapters if known != name][: 1 - _ADAPTERS]:
            with contextlib.suppress(UsageError):
                await command("/v1/unload_lora_adapter", {"lora_name": old})

    def _named(self, version: str) -> str:
        """What an adapter is called at the server."""
        return f"{self._remote.name}-{version}"
