"""What a critic says of answers: a number for each candidate, higher is better.

Shapes: n candidates, M tokens of an answer.

The heads say what kind of critic it is. `q…` of one output each (`archer`): Q of whole answers, read at an
answer's last token, and `v…` at the last token of what it answers:

    score = min_i Q_i(s, a) - min_i V_i(s)                          (ArCHer, Zhou et al. 2024)

`q…` with an output for each token (`ilql`, `mc`): Q of tokens,

    score = sum_k min_i Q_i(s_k, a_k) - V(s_k)                      (ILQL, Snell et al. 2023)

and where there is no V (`mc`) Q of the answer's last token: what is to be expected when all of it is said.

What is judged is encoded by the critic's own tokenizer and chat template, so candidates of any model can be.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arena.agents.models import _weights
from arena.agents.models._template import ChatEncoder
from arena.agents.models.critic import Critic, is_critic
from arena.core.errors import UsageError
from arena.core.messages import Message, Tool


class CriticScores:
    """Scores answers; may be used from several threads.

    Attributes:
        critic: the critic.
        identity: SHA-256 of its weights and configuration.
        per_token: whether its Q is of tokens.
    """

    def __init__(self, critic: Critic, name: str, identity: str = "") -> None:
        """Use `load`, or give a critic in memory.

        Raises:
            UsageError: a critic without Q, without an encoder, or whose tokenizer has no chat template.
        """
        self.q, self.v = q_heads(critic, name), [head for head in critic.heads if head in ("v", "v1", "v2")]
        if critic.tokenizer is None or not critic.tokenizer.chat_template:
            raise UsageError(f"The tokenizer of the critic {name} has no chat template to write conversations with.")
        self.critic, self.identity = critic, identity
        self.per_token = critic.heads[self.q[0]].options.outputs > 1
        self._encoder = ChatEncoder(critic.tokenizer)
        end = self._encoder.turn_end()
        self._end = end if end is not None else critic.tokenizer.eos_token_id
        self._lock = threading.Lock()

    @classmethod
    def load(cls, name: str, *, device: str | None = None, dtype: str | None = None) -> CriticScores:
        """Load the critic of a training run, or a critic's folder.

        Raises:
            UsageError: there is none, or it cannot score answers.
        """
        folder = critic_folder(name)
        return cls(Critic.load(folder, device=device, dtype=dtype), name, critic_identity(folder))

    def scores(self, messages: Sequence[Message], answers: Sequence[str], tools: Sequence[Tool] = ()) -> list[float]:
        """The score of each answer to a conversation (n).

        Args:
            messages: what is answered, from the first message on.
            answers: the candidates' texts.
            tools: shown to the critic, as to a model.
        """
        prompt = self._encoder.encode(messages, tools, None).ids
        said = [self._whole(self._ids(answer)) for answer in answers]
        with self._lock, torch.inference_mode():
            return self._read(prompt, said)

    def _ids(self, text: str) -> list[int]:
        with self._lock:
            return list(self.critic.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def _whole(self, ids: list[int]) -> list[int]:
        """An answer as the critic was trained on it: a limit that ends it leaves no room for the end of the turn."""
        return ids if len(ids) == self.critic.answer_limit else [*ids, self._end]

    def _read(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> list[float]:
        """Scores of answers in ids; a prompt that leaves one no room in the critic's context loses its beginning."""
        room = self.critic.context - max(map(len, answers))
        if room < 1:
            raise UsageError(
                f"An answer has {max(map(len, answers))} tokens, and the critic reads {self.critic.context}: limit "
                "answers with max_tokens in the agent spec."
            )
        start = list(prompt[-room:])
        device = next(self.critic.parameters()).device
        shape = (len(answers), len(start) + max(map(len, answers)))
        ids, attention = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for row, answer in enumerate(answers):
            both = torch.tensor([*start, *answer])
            ids[row, : len(both)], attention[row, : len(both)] = both, 1
        ids = ids.to(device)
        hidden = self.critic.hidden(ids, attention.to(device))
        score = self._of_tokens if self.per_token else self._of_answers
        return [score(hidden[row], ids[row], len(start), len(answer)) for row, answer in enumerate(answers)]

    def _of_answers(self, hidden: Tensor, ids: Tensor, start: int, length: int) -> float:
        q = self._least(self.q, hidden[start + length - 1])
        return float(q - self._least(self.v, hidden[start - 1])) if self.v else float(q)

    def _of_tokens(self, hidden: Tensor, ids: Tensor, start: int, length: int) -> float:
        before = hidden[start - 1 : start + length - 1]
        taken = ids[start : start + length, None]
        q = self._least(self.q, before).gather(-1, taken)[:, 0]
        return float((q - self._least(self.v, before)).sum() if self.v else q[-1])

    def _least(self, names: Sequence[str], states: Tensor) -> Tensor:
        """The least of some heads' values."""
        return least(self.critic, names, states)


def least(critic: Critic, names: Sequence[str], states: Tensor) -> Tensor:
    """The least of the values of some heads at hidden states (…, H): (…), or (…, V) of heads over a vocabulary."""
    heads: list[Any] = [critic.heads[name] for name in names]
    return torch.stack([head.value(head(states)) for head in heads]).amin(0)


def q_heads(critic: Critic, name: str) -> list[str]:
    """The heads that say what an answer is worth.

    Raises:
        UsageError: there are none.
    """
    found = [head for head in critic.heads if head in ("q", "q1", "q2")]
    if not found:
        raise UsageError(
            f"The critic {name} has the heads {', '.join(critic.heads)}: it says what a situation is worth, and not "
            "what an answer to it is. Take one with Q, of archer, ilql or mc."
        )
    return found


def critic_folder(name: str) -> Path:
    """The folder of a critic: itself, or `critic/` of a training run.

    Raises:
        UsageError: there is none; says what is there.
    """
    folder = Path(name).expanduser()
    for path in (folder, folder / "critic"):
        if is_critic(path):
            return path
    if not folder.is_dir():
        raise UsageError(f"There is no folder {name}. A critic is RUN/critic of a training with archer, ilql or mc.")
    unfinished = (folder / "checkpoints").is_dir() and not (folder / "model").is_dir()
    why = " Its training is not finished: arena train --resume " + name if unfinished else ""
    raise UsageError(f"{name} holds no critic: expected RUN/critic of a training with archer, ilql or mc.{why}")


def critic_identity(folder: Path) -> str:
    """SHA-256 over the files that make up a critic."""
    parts = [_weights.identity_of(path) for path in (folder, folder / "encoder")]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


__all__ = ["CriticScores", "critic_folder", "critic_identity", "least", "q_heads"]
