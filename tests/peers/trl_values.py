"""What TRL's own trainers make of given rewards and tokens.

`test_trl_parity` runs this as a process of its own, with TRL on its path:

    python trl_values.py QUESTIONS.json ANSWERS.npz

Every answer comes out of an unpatched trainer: advantages out of `_generate_and_score_completions`,
log-probabilities and entropies out of `_get_per_token_logps_and_entropies`, losses and gradients out
of `compute_loss`.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

PLAIN = {"bf16": False, "gradient_checkpointing": False, "use_cpu": True, "report_to": "none", "seed": 0}
TRAINERS = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}


class Asked:
    """One trainer around the questions' model; `rewards` is what its reward function gives."""

    def __init__(self, questions, kind, options, group=2, rows=2):
        trainer, config = TRAINERS[kind]
        self.tokenizer = AutoTokenizer.from_pretrained(questions["model"])
        self.rewards = []
        told = config(
            output_dir=tempfile.mkdtemp(dir=questions["folder"]),
            per_device_train_batch_size=rows,
            num_generations=group,
            **PLAIN,
            **options,
        )
        extra = {"rollout_func": self.rollout} if kind == "grpo" else {}
        self.trainer = trainer(
            model=AutoModelForCausalLM.from_pretrained(questions["model"], dtype=torch.float32),
            reward_funcs=self.score,
            args=told,
            train_dataset=Dataset.from_dict({"prompt": ["a"] * rows}),
            processing_class=self.tokenizer,
            **extra,
        )
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.model.train()

    def rollout(self, prompts, trainer):
        """Two tokens for each prompt: the advantages do not depend on them."""
        return {"prompt_ids": [[1]] * len(prompts), "completion_ids": [[2, 3]] * len(prompts), "logprobs": None}

    def score(self, prompts, completions, **more):
        """The rewards asked about; None is unscorable."""
        return self.rewards

    def advantages(self, rewards):
        """Of a batch of completions, and the tokens that were sampled."""
        self.rewards = rewards
        return self.trainer._generate_and_score_completions([{"prompt": "a"} for _ in rewards])


def batch(rows, tokenizer):
    """Rows as TRL pads them: prompts on the left, completions on the right."""
    pad = tokenizer.pad_token_id
    prompts = [row["ids"][: row["prompt"]] for row in rows]
    longest = max(map(len, prompts))
    widest = max(len(row["ids"]) - row["prompt"] for row in rows)

    def completion(row, name, filler):
        values = row[name][row["prompt"] :]
        return values + [filler] * (widest - len(values))

    lengths = [len(row["ids"]) - row["prompt"] for row in rows]
    return {
        "prompt_ids": torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts]),
        "prompt_mask": torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]),
        "completion_ids": torch.tensor([completion(row, "ids", pad) for row in rows]),
        "completion_mask": torch.tensor([[1] * length + [0] * (widest - length) for length in lengths]),
        "tool_mask": torch.tensor([completion(row, "mask", 0) for row in rows]),
        "old_per_token_logps": torch.tensor([completion(row, "old", 0.0) for row in rows]),
        "ref_per_token_logps": torch.tensor([completion(row, "reference", 0.0) for row in rows]),
        "advantages": torch.tensor([row["advantage"] for row in rows]),
    }


def loss(questions, case):
    """The loss of the questions' rows and its gradient, all parameters in one line."""
    asked = Asked(questions, case["trainer"], case["options"])
    inputs = batch(questions["rows"], asked.tokenizer)
    inputs["num_items_in_batch"] = torch.tensor(float(case["tokens"]))
    if case["trainer"] == "rloo":  # it knows no tokens of tools: what it masks is what was not completed
        inputs["completion_mask"] = inputs["completion_mask"] * inputs.pop("tool_mask")
        inputs["old_logps"] = (inputs["old_per_token_logps"] * inputs["completion_mask"]).sum(1)
    total = asked.trainer.compute_loss(asked.trainer.model, inputs)
    total.backward()
    gradient = torch.cat([value.grad.flatten() for _, value in sorted(asked.trainer.model.named_parameters())])
    return total.item(), gradient.numpy()


def answers(questions):
    """Everything asked for, by name."""
    found = {}
    for name, case in questions["advantages"].items():
        rewards, group = case["rewards"], case["group"]
        asked = Asked(questions, case["trainer"], case["options"], group, len(rewards))
        if asked.trainer.beta:  # TRL loads the reference from the folder of the model, which has moved away from it
            moved = AutoModelForCausalLM.from_pretrained(questions["moved"], dtype=torch.float32)
            asked.trainer.model.load_state_dict(moved.state_dict())
        output = asked.advantages(rewards)
        for key in ("advantages", "prompt_ids", "completion_ids", "completion_mask"):
            found[f"{key}/{name}"] = output[key].numpy()
    for name, case in questions["losses"].items():
        found[f"loss/{name}"], found[f"gradient/{name}"] = loss(questions, case)
    asked = Asked(questions, "grpo", {"temperature": questions["temperature"]})
    inputs = batch(questions["rows"], asked.tokenizer)
    ids, attention = (
        torch.cat([inputs[f"prompt_{part}"], inputs[f"completion_{part}"]], 1) for part in ("ids", "mask")
    )
    width = inputs["completion_ids"].shape[1]
    with torch.no_grad():
        logprob, entropy, _ = asked.trainer._get_per_token_logps_and_entropies(
            asked.trainer.model, ids, attention, width, compute_entropy=True
        )
    places = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
    return found | {"logprob": logprob[places].numpy(), "entropy": entropy[places].numpy()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savez(sys.argv[2], **answers(json.loads(Path(sys.argv[1]).read_text())))
