"""Local weights that read images, through transformers' processors: `hf:FOLDER` where the folder holds such a model.

    hf:Qwen/Qwen2.5-VL-3B-Instruct               any image-text-to-text model
    hf:./my-model,images=false                   its language part alone, where transformers can load that

The options device, dtype, threads, context and max_tokens are those of `local`. Every prompt is processed and encoded
whole, and one answer is computed at a time, so it is a function of the prompt, the sampling and the weights. For many
episodes at once serve the model (`openai:NAME@URL,images=true`).

Completions carry no ids: an image's place in a sequence says nothing without its pixels, so what such a model
answers cannot be trained on.
"""

from __future__ import annotations

import asyncio
import io
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from arena.agents.models import _weights
from arena.agents.models._completion import answer_limit, completion_of
from arena.agents.models._draw import Drawer, Settings
from arena.agents.models._engine import set_threads, stop_ids_of
from arena.agents.models._images import image_data
from arena.agents.models._sampler import Request, Sampled
from arena.agents.models._template import ChatEncoder, Prompt, opens_reasoning
from arena.core.errors import ModelUnavailable, UsageError
from arena.core.messages import Completion, ImagePart, Message, Sampling, TextPart, Tool
from arena.core.model import Traits, conversation

if TYPE_CHECKING:
    from arena.agents.models._engine import Options

__all__ = ["VisionModel"]


class VisionEncoder(ChatEncoder):
    """Encodes conversations with images: the processor says how many ids stand for each."""

    def __init__(self, processor: Any) -> None:
        super().__init__(processor.tokenizer, processor)
        self.tokenizer, self._processor = processor.tokenizer, processor

    def inputs(self, messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Prompt, Any]:
        """The prompt of the next answer, and what the network is fed for it: ids, masks and pixels of one sequence.

        Raises:
            RequestRefused: the template refuses these messages, and took others.
            UsageError: the template or the processor refuses them, or an image has no bytes.
        """
        text = self.text(messages, tools)
        seen = [_picture(part) for message in messages for part in message.parts if isinstance(part, ImagePart)]
        # As `apply_chat_template` does it: a template may begin with what the tokenizer would put first.
        first = self._tokenizer.bos_token
        options = {"add_special_tokens": False} if first and text.startswith(first) else {}
        try:
            fed = self._processor(text=text, images=[seen] if seen else None, return_tensors="pt", **options)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise UsageError(
                f"The model's processor refuses this conversation of {len(seen)} images: {error}"
            ) from error
        return Prompt(tuple(fed["input_ids"][0].tolist()), 0, opens_reasoning(text)), fed

    def _render(
        self, conversation: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, opening: bool = True
    ) -> str:
        """Templates of such models read what a message holds as a list of parts."""
        listed = [{**said, "content": _listed(said["content"])} for said in conversation]
        return super()._render(listed, tools, opening=opening)

    def _content(self, parts: Sequence[TextPart | ImagePart]) -> list[dict[str, str]]:
        return [{"type": "text", "text": p.text} if isinstance(p, TextPart) else {"type": "image"} for p in parts]


@dataclass(frozen=True, slots=True)
class Sight:
    """A loaded model that reads images."""

    network: Any
    encoder: VisionEncoder
    defaults: Any
    context: int
    stop_ids: frozenset[int]


class VisionModel:
    """An image-text-to-text model of a folder, for any number of concurrent episodes, which it answers in turn.

    The weights are loaded at the first `complete`, or by `load`; one thread of its own does the computing.
    """

    def __init__(self, name: str, options: Options, *, spec: str = "") -> None:
        """A model folder, or a name on the Hugging Face hub.

        Raises:
            UsageError: no such folder or model, or one without a chat template.
        """
        self.spec = spec or f"hf:{name}"
        self._options = options
        self._folder = _weights.find_folder(name)
        tools = "tools" in _weights.template_of(self._folder)
        identity = _weights.identity_of(self._folder)
        self.traits = Traits(identity=identity, images=True, tools=tools, seeded=True)
        self.policy_version = identity[:12]
        self._sight: Sight | None = None
        self._loading = threading.Lock()
        self._closed = threading.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"see {self.spec}")
        # A model that is forgotten without `aclose` must not leave its thread behind.
        weakref.finalize(self, self._worker.shutdown, wait=False, cancel_futures=True)

    def load(self) -> Sight:
        """Load the weights and the processor, if that has not happened yet.

        Raises:
            UsageError: says what is missing in the folder or does not fit.
        """
        with self._loading:
            if self._sight is None:
                device = _weights.choose_device(self._options.device)
                encoder = VisionEncoder(_weights.load_processor(self._folder))
                network = _weights.load_vision_network(
                    self._folder, device, _weights.choose_dtype(self._options.dtype, device)
                )
                if device == "cpu":
                    set_threads(network, self._options.threads)
                tokenizer, defaults = encoder.tokenizer, network.generation_config
                context = _weights.context_of(network, tokenizer, self._options.context)
                # Its penalties and the like would act on top of what is asked for; `Settings` reads the rest.
                network.generation_config = GenerationConfig()
                self._sight = Sight(network, encoder, defaults, context, stop_ids_of(defaults, tokenizer, encoder))
            return self._sight

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation: see `arena.core.model.Model.complete`. It is encoded afresh, with `after` too."""
        whole = conversation(messages, after)
        given_up = threading.Event()
        try:
            answer = asyncio.get_running_loop().run_in_executor(
                self._worker, self._answer, whole, sampling, tools, given_up
            )
        except RuntimeError:
            raise ModelUnavailable(f"{self.spec} was closed.") from None
        try:
            return (await answer).following(whole)
        finally:
            given_up.set()

    def _answer(
        self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[Tool], given_up: threading.Event
    ) -> Completion:
        """On the model's own thread: encode, decode, read."""
        sight = self.load()
        prompt, fed = sight.encoder.inputs(messages, tools)
        stop = sampling.stop
        request = Request(
            prompt=prompt.ids,
            settings=Settings.of(sampling, sight.defaults),
            limit=answer_limit(prompt, sight.context, sampling, sight.defaults),
            stop_ids=sight.stop_ids,
            stopped=sight.encoder.stopper(stop),
        )
        try:
            finish = _decode(sight.network, fed, request, lambda: given_up.is_set() or self._closed.is_set())
        except RuntimeError as error:  # CUDA's among them
            raise ModelUnavailable(f"{self.spec} failed: {error!r}") from error
        if self._closed.is_set():
            raise ModelUnavailable(f"{self.spec} was closed.")
        sampled = Sampled(tuple(request.tokens), tuple(request.logprobs), finish, 0, self.policy_version)
        read = completion_of(
            sight.encoder, prompt, sampled, stop=stop, stop_ids=sight.stop_ids, tools=bool(tools), kind="raw"
        )
        return read.model_copy(update={"prompt_ids": None, "token_ids": None, "logprobs": None, "logprob_kind": None})

    async def aclose(self) -> None:
        """End the thread and forget the weights; what waits is cancelled. A second call does nothing."""
        self._closed.set()
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)
        self._sight = None


class _Drawn(LogitsProcessor):  # type: ignore[misc]
    """Draws the next token as every local model does, and leaves `generate` no other choice."""

    def __init__(self, request: Request, device: torch.device) -> None:
        self._request = request
        self._drawer = Drawer([request.settings], device)
        self.end: Any = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        [token], [logprob] = self._drawer.draw(scores, [self._request.stream.next()], [None])
        self.end = self._request.append(token, logprob)
        only = torch.full_like(scores, -torch.inf)
        only[0, token] = 0.0
        return only


class _Over(StoppingCriteria):  # type: ignore[misc]
    """The answer has ended, or nobody waits for it any more."""

    def __init__(self, drawn: _Drawn, given_up: Callable[[], bool]) -> None:
        self._drawn, self._given_up = drawn, given_up

    def __call__(self, input_ids: torch.Tensor, scores: Any, **rest: Any) -> torch.Tensor:
        over = self._drawn.end is not None or self._given_up()
        return torch.full((input_ids.shape[0],), over, device=input_ids.device)


def _decode(network: Any, fed: Any, request: Request, given_up: Callable[[], bool]) -> Any:
    """Sample the answer; why it ended. `generate` knows what each architecture makes of its images."""
    parameter = next(network.parameters())
    drawn = _Drawn(request, parameter.device)
    with torch.inference_mode():
        network.generate(
            **fed.to(parameter.device, dtype=parameter.dtype),
            generation_config=GenerationConfig(max_new_tokens=request.limit, do_sample=False),
            logits_processor=LogitsProcessorList([drawn]),
            stopping_criteria=StoppingCriteriaList([_Over(drawn, given_up)]),
        )
    return drawn.end or "length"


def _picture(part: ImagePart) -> Any:
    """The image as Pillow's, in colours."""
    from PIL import Image

    with Image.open(io.BytesIO(image_data(part))) as image:
        return image.convert("RGB")


def _listed(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
