"""TRL's `environment_factory` route on the task of `benchmarks._multiturn`: a round for each line it is sent.

A round is `GRPOTrainer._generate_and_score_completions`: the episodes with their environments, their
rewards and their advantages. It prints the CPU seconds, the tokens sampled and the longest conversation.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from arena.core.registry import make_raw
from benchmarks import _multiturn as task

ANY_REPLY_IS_A_CALL = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "content": "text",
            "repeats": True,
            "transform": {"type": "function", "function": {"name": "act", "arguments": {"text": "{content}"}}},
        }
    },
}


class Game:
    """The environment as TRL takes it: `reset`, a method that is the tool, and the reward."""

    def __init__(self) -> None:
        self.env = make_raw(task.ENV, **task.PARAMS)
        self.reward = 0.0

    def reset(self, seed: int, **row) -> str:
        """The first observation, which TRL puts behind the prompt."""
        self.reward = 0.0
        return self.env.reset(seed=seed)[0]

    def act(self, text: str) -> str:
        """Act.

        Args:
            text: the action.
        """
        observation, reward, *_ = self.env.step(text)
        self.reward += reward
        return observation

    def get_reward(self) -> float:
        """The sum of rewards."""
        return self.reward


def trainer(folder: str, scratch: str) -> GRPOTrainer:
    """A trainer whose batch is all episodes of a round."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.response_template = ANY_REPLY_IS_A_CALL
    config = GRPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=task.EPISODES,
        num_generations=task.GROUP,
        max_completion_length=3500,
        max_tool_calling_iterations=task.TURNS - 1,
        generation_kwargs={"max_new_tokens": task.ANSWER},
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
    )
    made = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(rows(folder)),
        processing_class=tokenizer,
        environment_factory=Game,
    )
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made


def rows(folder: str) -> list[dict]:
    """Each task `GROUP` times."""
    rules = Path(folder, "system.j2").read_text()
    prompt = [{"role": "system", "content": rules}, {"role": "user", "content": ""}]
    return [{"prompt": prompt, "seed": seed} for seed in range(task.TASKS) for _ in range(task.GROUP)]


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    folder = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        playing, batch = trainer(folder, scratch), rows(folder)
        for _ in sys.stdin:
            begun = time.process_time()
            found = playing._generate_and_score_completions(batch)
            seconds = time.process_time() - begun
            lengths = found["prompt_mask"].sum(1) + found["completion_mask"].sum(1)
            sampled = int((found["completion_mask"] * found["tool_mask"]).sum())
            figures = {"seconds": seconds, "sampled": sampled, "longest": int(lengths.max())}
            print(json.dumps(figures), file=answers, flush=True)


if __name__ == "__main__":
    main()
