"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, SGLang, llama.cpp, `transformers serve`, …"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from arena.agents.models._http import Json
from arena.agents.models._key import Key
from arena.agents.models._openai_wire import LogprobKind, read_reply, write_messages, write_tools
from arena.agents.models._remote import Provider, RemoteModel
from arena.core.errors import ModelUnavailable, UsageError
from arena.core.model import Traits, conversation

if TYPE_CHECKING:
    from arena.agents.models._options import Options
    from arena.core.messages import Completion, Message, Sampling, Tool

__all__ = ["OpenAIModel"]

_OPENAI = Provider(
    url="https://api.openai.com/v1",
    path="/chat/completions",
    trimmed=("/chat/completions",),
    key=Key("OPENAI_API_KEY"),
)

_SEEDS = 2**31
"""Seeds are sent below this: some servers read 32 bits only."""


class OpenAIModel(RemoteModel):
    """A model behind the chat-completions API.

    `openai:NAME[@URL][,key=value…]`, by default at https://api.openai.com/v1 with the key in OPENAI_API_KEY.
    A field of `Sampling` that is None, and an option that is not given, add nothing to the request.
    Options beside those of `Remote`:

        ids            true: ask for token ids, as vLLM gives them (`return_token_ids`)
        logprob_kind   raw or sampled: what the server's log-probabilities are of (raw; sampled for a vLLM
                       started with `--logprobs-mode processed_logprobs`)
        images         true: the model reads images (true at OpenAI, false elsewhere)
        tools          false: the model takes no tools (true)
        seeded         true: the server takes `seed` (false at OpenAI, where it is deprecated; true elsewhere)
        reasoning      false: do not send earlier reasoning back (true: back in the field it came in)
        limit_field    max_tokens or max_completion_tokens (the latter at OpenAI)

    Log-probabilities and ids are asked for only where wanted, since some servers refuse the fields.
    """

    provider = _OPENAI

    def _configure(self, options: Options) -> Traits:
        official = self._remote.official
        self._ids = options.flag("ids", False)
        kind = options.text("logprob_kind", "raw", ("raw", "sampled"))
        self._logprob_kind: LogprobKind = "sampled" if kind == "sampled" else "raw"
        self._reasoning = options.flag("reasoning", True)
        usual = "max_completion_tokens" if official else "max_tokens"
        self._limit_field = options.text("limit_field", usual, ("max_tokens", "max_completion_tokens"))
        return Traits(
            identity=self._remote.name,
            images=options.flag("images", official),
            tools=options.flag("tools", True),
            seeded=options.flag("seeded", not official),
            token_ids=self._ids,
            priced=self._remote.priced,
        )

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """Answer a conversation; see `arena.core.model.Model.complete`."""
        prompt = conversation(messages, after)
        body = self._body(prompt, sampling, tools)
        read = partial(
            read_reply, model=self._remote.name, call_id=f"call_{len(prompt)}", logprob_kind=self._logprob_kind
        )
        completion = await self._remote.ask(prompt, body, sampling, read)
        self._check_tokens(completion, sampling)
        return completion.following(prompt)

    def _body(self, prompt: Sequence[Message], sampling: Sampling, tools: Sequence[Tool]) -> Json:
        body: Json = {"model": self._remote.name, "messages": write_messages(prompt, self._reasoning)}
        if tools:
            body["tools"] = write_tools(tools)
        optional = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            self._limit_field: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": None if sampling.seed is None or not self.traits.seeded else sampling.seed % _SEEDS,
            "logprobs": sampling.logprobs or None,
            "return_token_ids": self._ids or None,
        }
        body.update({str(name): value for name, value in optional.items() if value is not None})
        return body | self._remote.fields

    def _check_tokens(self, completion: Completion, sampling: Sampling) -> None:
        """What was asked for must be there: a record that lacks it could not be trained on.

        A refusal that the server made of an error has no tokens.
        """
        if completion.finish == "refusal":
            return
        ids, logprobs = completion.token_ids, completion.logprobs
        if self._ids and ids is None:
            why = "vLLM gives them since 0.10.2; other servers may not. Leave out ids=true."
            raise UsageError(f"{self.spec} was asked for token ids and gave none. {why}")
        if sampling.logprobs and logprobs is None:
            raise UsageError(f"{self.spec} was asked for log-probabilities and gave none. Ask without them.")
        if ids is not None and logprobs is not None and len(ids) != len(logprobs):
            raise ModelUnavailable(f"{self.spec} gave {len(ids)} token ids and {len(logprobs)} log-probabilities.")
