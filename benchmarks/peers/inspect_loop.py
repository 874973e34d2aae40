"""inspect-ai: CPU time per model turn of a 10-turn loop with its mock model. Runs in the peer's environment."""

import gc
import json
import logging
import sys
import tempfile
import time

import inspect_ai
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Target, accuracy, scorer
from inspect_ai.solver import Generate, TaskState, solver

TURNS = 10
ROUNDS = 3


def answer(messages, tools, tool_choice, config):
    """What the mock model says."""
    output = ModelOutput.from_content("mockllm", "look around")
    # Without usage the mock model counts tokens, for which it fetches a tokenizer file.
    output.usage = ModelUsage(input_tokens=0, output_tokens=0, total_tokens=0)
    return output


@solver
def loop():
    """Ten answers, each followed by what the environment of `benchmarks/harness.py` says."""

    async def solve(state: TaskState, generate: Generate):
        for turn in range(1, TURNS + 1):
            state = await generate(state)
            state.messages.append(ChatMessageUser(content=f"Turn {turn}: you said {state.output.completion}"))
        return state

    return solve


@scorer(metrics=[accuracy()])
def always():
    """Everybody has won."""

    async def score(state: TaskState, target: Target):
        return Score(value=1)

    return score


def main() -> None:
    """Print the figure as JSON."""
    concurrency = int(sys.argv[1])
    samples = max(64, concurrency)
    logging.disable(logging.WARNING)
    found = []
    for _ in range(ROUNDS):
        dataset = [Sample(input="Turn 0: say something.", target="won", id=i) for i in range(samples)]
        task = inspect_ai.Task(dataset=dataset, solver=loop(), scorer=always())
        model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
        with tempfile.TemporaryDirectory() as folder:
            gc.collect()
            begun = time.process_time()
            (log,) = inspect_ai.eval(
                task,
                model=model,
                log_dir=folder,
                display="none",
                max_samples=concurrency,
                max_connections=concurrency,
            )
            seconds = time.process_time() - begun
        assert log.status == "success", log.error
        found.append(seconds / samples / TURNS * 1000)
    print(json.dumps({"milliseconds_per_turn": min(found), "samples": samples, "rounds": ROUNDS}))


if __name__ == "__main__":
    main()
