"""Episodes to write and read, made by hand."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from arena.core.episode import (
    Call,
    Conclusion,
    Episode,
    Failure,
    Key,
    Parent,
    TaskRecord,
    TextPart,
    Timing,
    Tool,
    Turn,
    Usage,
)
from arena.core.messages import (
    Completion,
    ImagePart,
    Message,
    ReasoningPart,
    Sampling,
    ToolCallPart,
    ToolResultPart,
)
from arena.core.observation import image_part
from arena.core.outcome import Outcome
from arena.records.conversation import ConversationTable

HOSTILE = 'quote " back \\ nul \x00 bell \x07 rtl \u202e emoji 🧭 sep \u2028 bom \ufeff surrogate \ud800 end'


def image(shade: int) -> ImagePart:
    """A grey image of 3 by 2 pixels; its bytes depend on nothing but `shade`."""
    import numpy as np

    return image_part(np.full((2, 3, 3), shade, dtype=np.uint8))


def pixels(data: bytes) -> tuple[int, int]:
    """Width and height of an encoded image."""
    return Image.open(io.BytesIO(data)).size


def conversation_episode(number: int = 0, turns: int = 3, *, attempt: int = 0, **fields: Any) -> Episode:
    """An agent that keeps its whole conversation."""
    table, completion = ConversationTable(), None
    history: tuple[Message, ...] = (Message.of("system", "Find the key."),)
    played = []
    for index in range(turns):
        text = f"Room {index} of house {number}."
        history = (*history, Message.of("user", text))
        prompt_ids = (*completion_ids(completion), 100 + index, 101)
        answer = Completion(
            parts=(ReasoningPart(text="Hm.", opaque={"signature": "x"}), TextPart(text=f"go {index}")),
            usage=Usage(input=10, cached=2, output=5, reasoning=1),
            prompt_ids=prompt_ids,
            token_ids=(7, 8, index),
            logprobs=(-0.5, -0.25, 0.0),
            logprob_kind="sampled",
            policy_version="step-3",
            cost=0.001,
        ).following(history)
        call = table.add_call("scripted:x", history, answer, after=completion, sampling=Sampling(temperature=0.5))
        played.append(
            Turn(
                index=index,
                observation=(TextPart(text=text),),
                state_key=f"room-{index}",
                action=f"go {index}",
                valid=True,
                reward=0.25,
                info={"steps": index},
                calls=(call,),
                timing=Timing(agent=0.5, environment=0.125),
            )
        )
        completion, history = answer, answer.history
    known: dict[str, Any] = {
        "key": Key(task=f"arena/House-v0@{number}", attempt=attempt),
        "task": TaskRecord(env="arena/House-v0", seed=number),
        "seed": 1000 + number,
        "agents": {"agent": "chat"},
        "models": {"agent": "scripted:x"},
        "env_version": "0",
        "briefs": {"agent": {"instructions": "Find the key."}},
        "messages": table.messages,
        "turns": tuple(played),
        "final_observation": (TextPart(text="You found it."),),
        "outcome": Outcome.SUCCESS,
        "score": 1.0,
        "success": True,
        "usage": Usage(input=10 * turns, cached=2 * turns, output=5 * turns, reasoning=turns),
        "cost": 0.001 * turns,
        "started": "2026-01-02T03:04:05.678Z",
        "seconds": 2.5,
    }
    return Episode(**(known | fields))


def completion_ids(completion: Completion | None) -> tuple[int, ...]:
    """Prompt and sampled ids of an answer."""
    if completion is None:
        return (1, 2, 3)
    return (*(completion.prompt_ids or ()), *(completion.token_ids or ()))


def window_episode() -> Episode:
    """An agent that shows its model the system message and the last two observations only."""
    table = ConversationTable()
    system, seen = Message.of("system", "Play."), [Message.of("user", f"Round {i}.") for i in range(5)]
    turns = []
    for index in range(5):
        prompt = (system, *seen[max(index - 1, 0) : index + 1])
        answer = Completion(parts=(TextPart(text=f"guess {index}"),), usage=Usage(input=9, output=2)).following(prompt)
        call = table.add_call("scripted:w", prompt, answer)
        turns.append(
            Turn(index=index, observation=seen[index].parts, action=f"guess {index}", calls=(call,))  # type: ignore[arg-type]
        )
    return Episode(
        key=Key(task="arena/Rounds-v0[size=3]@5!5", repeat=2),
        task=TaskRecord(env="arena/Rounds-v0", seed=5, params={"size": 3}, max_turns=5),
        seed=6,
        agents={"agent": "chat:window=2"},
        models={"agent": "scripted:w"},
        messages=table.messages,
        turns=tuple(turns),
        conclusion=Conclusion(reason="turns", reward=0.5, info={"graded": True}),
        outcome=Outcome.TRUNCATED,
        limit="turns",
        score=0.5,
        success=False,
    )


def hostile_episode() -> Episode:
    """Images, tools, several players, text that hurts and numbers that JSON does not know."""
    table = ConversationTable()
    tool = Tool(name="press", description="Press a button.", template="press {button}")
    prompt = (
        Message(role="user", parts=(TextPart(text=HOSTILE), image(10), image(20))),
        Message(role="tool", parts=(ToolResultPart(id="c0", text=HOSTILE),)),
    )
    parts = (TextPart(text=HOSTILE), ToolCallPart(id="c1", name="press", arguments='{"button": '))
    first = table.add_call("a", prompt, Completion(parts=parts, finish="tool_calls").following(prompt))
    second = table.add_call("b", prompt, None, error="ModelUnavailable: gone", role="rejected")
    strange = {
        "nan": float("nan"),
        "nested": [{"inf": float("inf")}, {"$float": "nan"}, {"$float": {"literal": float("-inf")}}],
        "big": 2**70,
        "none": None,
        HOSTILE: HOSTILE,
    }
    turn = Turn(
        index=0,
        player="X",
        observation=(TextPart(text=HOSTILE), image(10)),
        results=(HOSTILE,),
        action=HOSTILE,
        executed="press 1",
        valid=False,
        error=HOSTILE,
        rewards={"X": 1.0, "O": -1.0},
        terminated=True,
        info=strange,
        calls=(first, second),
        notes=("an image was dropped",),
    )
    return Episode(
        key=Key(task='arena/Buttons-v0[label="\u202e"]#hard@3', step=4),
        task=TaskRecord(env="arena/Buttons-v0", seed=3, params={"label": "\u202e", "limit": float("inf")}, name="hard"),
        seed=2**63,
        agents={"X": "chat", "O": "random"},
        tools=(tool,),
        messages=table.messages,
        turns=(turn,),
        final_observation=(image(20),),
        outcome=Outcome.FAILURE,
        score=0.0,
        scores={"X": 0.0, "O": 1.0},
        success=False,
        cost=None,
        replaced=7,
        parent=Parent(run="other", key=Key(task="t"), turn=1, by="replay"),
    )


def failed_episode() -> Episode:
    """The environment broke before the first turn."""
    return Episode(
        key=Key(task="arena/House-v0@9"),
        task=TaskRecord(env="arena/House-v0", seed=9),
        seed=9,
        agents={"agent": "chat"},
        unfinished_calls=(Call(model="m", prompt=(), error="ModelUnavailable: gone", finish="error"),),
        outcome=Outcome.ENVIRONMENT_ERROR,
        failure=Failure(boundary="environment", type="OSError", message=HOSTILE, trace="…", turn=0),
    )


def examples() -> list[Episode]:
    """One of each kind."""
    return [conversation_episode(), window_episode(), hostile_episode(), failed_episode()]
