"""Writes the model calls of one episode in short: each message once, each token id once.

A growing conversation costs what is new in it, a window costs a few ranges, and branches (several
answers to one prompt, two speakers taking turns) cost no more, so an episode's size is linear in its calls.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from operator import is_
from typing import Any

from arena.core.episode import Call
from arena.core.messages import Completion, Message, Sampling, TextPart
from arena.records._token_ids import TokenIdTable

_RECENT = 8
"""How many calls back a conversation is looked for that a call without `after` goes on with."""


class ConversationTable:
    """The messages and calls of one episode while it runs.

    Calls are numbered from 0 in the order of `add_call`; the record must hold them in that order.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._taken = 0
        self._by_identity: dict[int, int] = {}
        self._by_content: dict[Any, int] = {}
        self._links: list[tuple[int | None, tuple[int, ...], int | None]] = []
        self._recent: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=_RECENT)
        self._completions: dict[int, tuple[weakref.ref[Completion], int]] = {}
        self._ids = TokenIdTable()

    def __len__(self) -> int:
        """How many calls there are."""
        return len(self._links)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message of every call, once: the episode's table."""
        return tuple(self._messages)

    def take_new(self) -> tuple[Message, ...]:
        """The messages that came into the table since this was last asked, for the journal."""
        new = tuple(self._messages[self._taken :])
        self._taken = len(self._messages)
        return new

    def add_call(
        self,
        model_spec: str,
        conversation: Sequence[Message],
        completion: Completion | None,
        *,
        after: Completion | None = None,
        sampling: Sampling | None = None,
        role: str = "chosen",
        seconds: float = 0.0,
        error: str | None = None,
    ) -> Call:
        """Record one request; takes time in proportion to what is new in it.

        Args:
            model_spec: who was asked.
            conversation: the whole prompt, what `after` stands for included.
            completion: the answer; None if the request failed.
            after: the earlier completion that the request named.
            sampling: how it was sampled.
            role: see `Call.role`; it may be changed later with `model_copy`.
            seconds: wall time of the request.
            error: why it failed.
        """
        base = self._call_of(after)
        extends, new = self._split(conversation, after, base)
        answer = None
        if completion is not None:
            answer = self._store(completion.history[-1] if completion.history else completion.message)
        index = self._enter(extends, new, answer)
        call: dict[str, Any] = {
            "role": role,
            "model": model_spec,
            "extends": extends,
            "prompt": _ranges(new),
            "after": base,
            "message": answer,
            "sampling": sampling or _DEFAULTS,
            "seconds": seconds,
            "error": error,
        }
        if completion is None:
            self._ids.add(None, None, base)
            return Call(**call, finish="error")
        self._completions[id(completion)] = (weakref.ref(completion), index)
        return Call(
            **call,
            finish=completion.finish,
            usage=completion.usage,
            prompt_ids=self._ids.add(completion.prompt_ids, completion.token_ids, base),
            token_ids=completion.token_ids,
            logprobs=completion.logprobs,
            logprob_kind=completion.logprob_kind,
            policy_version=completion.policy_version,
            server_rendered=completion.server_rendered,
            cost=completion.cost,
            cached_response=completion.cached_response,
        )

    def _call_of(self, completion: Completion | None) -> int | None:
        """The number of the call that a completion came from, if it was one of this episode's."""
        if completion is None:
            return None
        reference, index = self._completions.get(id(completion), (None, None))
        return index if reference is not None and reference() is completion else None

    def _split(
        self, conversation: Sequence[Message], after: Completion | None, base: int | None
    ) -> tuple[int | None, list[int]]:
        """The earlier call that the conversation goes on with, and its messages since then."""
        if after is not None and base is not None:
            history = after.history
            if history and len(conversation) >= len(history) and all(map(is_, history, conversation)):
                return base, [self._store(message) for message in conversation[len(history) :]]
        positions = [self._store(message) for message in conversation]
        extends, known = None, 0
        for index, earlier in self._recent:
            if len(earlier) > known and tuple(positions[: len(earlier)]) == earlier:
                extends, known = index, len(earlier)
        return extends, positions[known:]

    def _store(self, message: Message) -> int:
        """The message's place in the table, where it is put if it is new."""
        place = self._by_identity.get(id(message))
        if place is None:
            place = self._by_content.setdefault(_content(message), len(self._messages))
            if place == len(self._messages):
                self._messages.append(message)
                self._by_identity[id(message)] = place
        return place

    def _enter(self, extends: int | None, new: list[int], answer: int | None) -> int:
        """Number the call and remember its conversation for the next ones."""
        index = len(self._links)
        self._links.append((extends, tuple(new), answer))
        if answer is not None:
            self._recent.append((index, (*self._positions(extends), *new, answer)))
        return index

    def _positions(self, index: int | None) -> tuple[int, ...]:
        """Prompt and answer of a call, as places in the table."""
        chain: list[tuple[int, ...]] = []
        while index is not None:
            for recent, positions in reversed(self._recent):
                if recent == index:
                    return sum(reversed(chain), positions)
            index, new, answer = self._links[index]
            chain.append(new if answer is None else (*new, answer))
        return sum(reversed(chain), ())


_DEFAULTS = Sampling()


def _content(message: Message) -> Any:
    """Equal for equal messages only; unlike the message itself it can always be hashed."""
    parts = message.parts
    if len(parts) == 1 and type(parts[0]) is TextPart:
        return (message.role, parts[0].text)
    return message.model_dump_json()


def _ranges(positions: list[int]) -> tuple[tuple[int, int], ...]:
    """Places in the table as ranges [start, stop)."""
    ranges: list[tuple[int, int]] = []
    for place in positions:
        if ranges and ranges[-1][1] == place:
            ranges[-1] = (ranges[-1][0], place + 1)
        else:
            ranges.append((place, place + 1))
    return tuple(ranges)
