"""Local weights through transformers: batched across episodes, exact in tokens, fast across turns.

    hf:./my-model                              any folder that `save_pretrained` wrote
    hf:Qwen/Qwen3-0.6B                         a name on the Hugging Face hub, fetched once
    hf:./my-model,deterministic=true           the same answers whatever else is in flight

Options of the spec, all optional:

    device          cuda where there is a GPU, else cpu
    dtype           float32, bfloat16 or float16; bfloat16 on a GPU, float32 on a CPU
    threads         torch's threads, for the whole process. On a CPU, models under 30 M parameters use 1
                    (more are slower as soon as anything else runs); larger ones leave torch's setting.
    max_batch       most answers decoded together (32)
    context         fewest of: this, the model's limit
    cache_gb        memory for keys and values, half of it for answers in progress and half for
                    conversations between their turns (2 on a CPU, half of what is free on a GPU)
    images          true: the model reads images (true where the folder's does: see `vision`)
    critic          a critic of tokens (`arena train ilql` or `mc`: RUN, or its folder RUN/critic): tokens are drawn
                    from softmax(log pi + beta min Q), value-guided decoding
    beta            how far it is followed (16); 0 not at all
    deterministic   compute each answer alone and encode its prompt whole, so that it is a function of
                    the prompt's ids, the sampling and the weights. The price is batching and the reuse
                    of keys and values: about a quarter of the tokens per second with 16 conversations of 8
                    turns in flight on one CPU thread, and less on a GPU.

A field of `Sampling` left at None follows the model's generation_config.json, else temperature 1 with
nothing cut off and answers up to the end of the context. Equal seeds give equal draws (see `_draw`);
without one, each answer draws a fresh seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from arena.agents.models import _weights
from arena.agents.models._completion import answer_limit, completion_of
from arena.agents.models._draw import Settings
from arena.agents.models._engine import Engine, Options, assemble, set_threads
from arena.agents.models._options import Options as SpecOptions
from arena.agents.models._sampler import Request
from arena.agents.models._template import Prompt
from arena.core.errors import BadSpec, UsageError
from arena.core.messages import Completion, Message, Sampling, Tool
from arena.core.model import Traits, conversation
from arena.core.specs import Spec

if TYPE_CHECKING:
    from arena.agents.models.vision import VisionModel

__all__ = ["Engine", "LocalModel", "Options", "Prompt"]


class LocalModel:
    """A causal language model of a folder, for any number of concurrent episodes.

    The weights are loaded at the first `complete`, or by `load`. It may be used from several threads
    and event loops; one thread of its own does the computing.
    """

    harmless = frozenset({"device", "threads", "max_batch", "cache_gb"})

    def __init__(self, name: str, options: Options | None = None, *, spec: str = "") -> None:
        """A model folder, or a name on the Hugging Face hub.

        Raises:
            UsageError: no such folder or model, or one without a chat template.
        """
        # Both are read from the files, so that nothing heavy happens before there is something to answer.
        self.spec = spec or f"hf:{name}"
        self._options = options or Options()
        self._folder = _weights.find_folder(name)
        template, identity = _weights.template_of(self._folder), _weights.identity_of(self._folder)
        if self._options.critic is not None:
            from arena.agents.models.critic_scores import critic_folder, critic_identity

            together = identity + critic_identity(critic_folder(self._options.critic))
            identity = hashlib.sha256(together.encode()).hexdigest()
        self._become(identity, tools="tools" in template)

    @classmethod
    def from_spec(cls, spec: Spec) -> LocalModel | VisionModel:
        """Build from `hf:NAME[,key=value…]`.

        Raises:
            BadSpec: an option it does not have.
            UsageError: no such folder or model, or one without a chat template.
        """
        if not spec.name:
            raise BadSpec(f"{str(spec)!r} names no model: expected hf:FOLDER, such as hf:./my-model.")
        given = SpecOptions(spec)
        seeing = _weights.reads_images(_weights.find_folder(spec.name))
        images = given.flag("images", seeing)
        options = Options(
            device=given.text("device"),
            dtype=given.text("dtype", None, tuple(_weights.DTYPES)),
            threads=given.whole("threads", 0) or None,
            max_batch=given.whole("max_batch", Options().max_batch, 1),
            context=given.whole("context", 0) or None,
            cache_gb=given.number("cache_gb", None),
            deterministic=given.flag("deterministic", False),
            critic=given.text("critic"),
            beta=given.number("beta", Options().beta) or 0.0,
        )
        given.done()
        if images and not seeing:
            raise UsageError(f"{spec.name} reads no images: leave images=true out, or name a vision-language model.")
        if images and options.critic is not None:
            raise BadSpec(f"{str(spec)!r}: a critic of tokens guides text models only; this one reads images.")
        if not images:
            return cls(spec.name, options, spec=str(spec))
        from arena.agents.models.vision import VisionModel

        return VisionModel(spec.name, options, spec=str(spec))

    @classmethod
    def of(
        cls, network: Any, tokenizer: Any, options: Options | None = None, *, identity: str, spec: str = ""
    ) -> LocalModel:
        """Wrap a network that is already in memory, such as the policy that is being trained.

        It stays where it is, in its own number format; torch's threads are left alone.
        """
        model = cls.__new__(cls)
        model.spec = spec
        model._options = options or Options()
        model._become(identity, tools="tools" in str(tokenizer.chat_template))
        model._engine = model._assemble(network, tokenizer)
        return model

    def _become(self, identity: str, *, tools: bool) -> None:
        self.traits = Traits(identity=identity, tools=tools, seeded=True, token_ids=True)
        self._engine: Engine | None = None
        self._policy_version = identity[:12]
        self._loading = threading.Lock()
        self._closed = False

    @property
    def policy_version(self) -> str:
        """Which weights answer now: written into every completion."""
        return self._engine.sampler.policy_version if self._engine else self._policy_version

    def load(self) -> Engine:
        """Load the weights, if that has not happened yet.

        Raises:
            UsageError: says what is missing in the folder or does not fit.
        """
        with self._loading:
            if self._closed:
                raise UsageError(f"{self.spec} was closed.")
            if self._engine is None:
                options = self._options
                device = _weights.choose_device(options.device)
                tokenizer = _weights.load_tokenizer(self._folder)
                network = _weights.load_network(self._folder, device, _weights.choose_dtype(options.dtype, device))
                if device == "cpu":
                    set_threads(network, options.threads)
                if options.critic is not None:
                    from arena.agents.models._guided import load_guided

                    network = load_guided(network, tokenizer, options.critic, options.beta)
                self._engine = self._assemble(network, tokenizer)
            return self._engine

    def _assemble(self, network: Any, tokenizer: Any) -> Engine:
        name = self.spec or "the model"
        engine = assemble(network, tokenizer, self._options, policy_version=self._policy_version, name=name)
        # A model that is forgotten without `aclose` must not leave its thread behind.
        weakref.finalize(self, engine.sampler.close)
        return engine

    async def _ready(self) -> Engine:
        engine = self._engine
        return engine if engine is not None else await asyncio.to_thread(self.load)

    @contextlib.contextmanager
    def updating(self, policy_version: str) -> Iterator[Any]:
        """Change the weights: `with model.updating("step-12") as network: …`.

        Answers in progress finish first, so each comes from one version; new ones wait until the block
        ends. Cached keys and values are dropped, and the network is left in evaluation mode.
        """
        engine = self.load()
        with engine.sampler.held():
            try:
                yield engine.network
            finally:
                engine.network.eval()
                engine.sampler.forget()
            engine.sampler.policy_version = policy_version

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation: see `arena.core.model.Model.complete`.

        With `after`, the prompt is that completion's ids with the new ones appended, unless the chat
        template does not keep its prefix: then the conversation is encoded afresh. The completion's
        log-probabilities are `sampled`, of the distribution drawn from, or at temperature 0 `raw`.
        """
        engine = await self._ready()
        prompt = engine.encoder.encode(messages, tools, after)
        completion = await self.sample(prompt, sampling, tools=bool(tools))
        return completion.following(conversation(messages, after))

    async def sample(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        tools: bool = False,
        forced: Sequence[int] = (),
        raw: bool = False,
    ) -> Completion:
        """Sample after a prompt of ids.

        Args:
            prompt: what `ChatEncoder.encode` gave, or any ids.
            sampling: as in `complete`.
            tools: whether tool calls are looked for in the answer.
            forced: ids that are taken instead of sampled ones, first to last, with their true
                log-probabilities; sampling goes on after them.
            raw: log-probabilities of the model's own distribution instead of the one drawn from.

        Raises:
            ContextOverflow: the prompt leaves no room for an answer.
            UsageError: the prompt is empty.
            ModelUnavailable: the computation failed, or the model was closed.
        """
        engine = await self._ready()
        request = _request(engine, prompt, sampling, forced, raw)
        sampled = await asyncio.wrap_future(engine.sampler.submit(request))
        raw = request.settings.raw or request.settings.greedy
        return completion_of(
            engine.encoder,
            prompt,
            sampled,
            stop=sampling.stop,
            stop_ids=engine.stop_ids,
            tools=tools,
            kind="raw" if raw else "sampled",
        )

    async def aclose(self) -> None:
        """End the thread and forget the weights; answers in progress are cancelled. A second call does nothing."""
        with self._loading:
            engine, self._engine, self._closed = self._engine, None, True
        if engine is not None:
            await asyncio.to_thread(engine.sampler.close)


def _request(engine: Engine, prompt: Prompt, sampling: Sampling, forced: Sequence[int], raw: bool) -> Request:
    """What the sampler is asked for."""
    defaults = engine.network.generation_config
    return Request(
        prompt=prompt.ids,
        settings=Settings.of(sampling, defaults, raw=raw),
        limit=answer_limit(prompt, engine.context, sampling, defaults),
        stop_ids=engine.stop_ids,
        stopped=engine.encoder.stopper(sampling.stop),
        forced=tuple(forced),
    )
