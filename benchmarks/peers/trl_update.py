"""TRL's update of given rows: one optimiser step for each line it is sent, which says how many rows go at once.

The rows are padded as TRL pads a generation batch, and cut into micro-batches with its own function; each
goes through `GRPOTrainer.compute_loss`. It prints the CPU seconds, and the loss of the first step.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import pad, split_tensor_dict


def trainer(folder: str, scratch: str) -> GRPOTrainer:
    """A trainer with the loss of the comparison: clipped, the mean over all tokens."""
    config = GRPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=2,
        num_generations=2,
        loss_type="dapo",
        max_completion_length=4096,
        learning_rate=1e-6,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
    )
    made = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        reward_funcs=lambda completions, **more: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["a"] * 2}),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    made.model.train()
    made.create_optimizer()
    return made


def padded(rows: list[dict]) -> dict:
    """Prompts on the left, completions on the right, each as wide as the widest."""

    def tensors(name: str, begin: bool, dtype: torch.dtype = torch.long) -> list[torch.Tensor]:
        cut = [row[name][: row["prompt"]] if begin else row[name][row["prompt"] :] for row in rows]
        return [torch.tensor(values, dtype=dtype) for values in cut]

    prompts, completions = tensors("ids", True), tensors("ids", False)
    mask = pad(tensors("mask", False), padding_value=0)
    return {
        "prompt_ids": pad(prompts, padding_value=0, padding_side="left"),
        "prompt_mask": pad([torch.ones_like(ids) for ids in prompts], padding_value=0, padding_side="left"),
        "completion_ids": pad(completions, padding_value=0),
        "completion_mask": pad([torch.ones_like(ids) for ids in completions], padding_value=0),
        "tool_mask": mask,
        "old_per_token_logps": pad(tensors("old", False, torch.float32), padding_value=0.0),
        "advantages": torch.tensor([row["advantage"] for row in rows]),
        "num_items_in_batch": mask.sum(),
    }


def step(made: GRPOTrainer, inputs: dict, pieces: int) -> float:
    """Loss of one optimiser step."""
    made.current_gradient_accumulation_steps = made.args.steps_per_generation = pieces
    total = 0.0
    for piece in split_tensor_dict(inputs, pieces):
        loss = made.compute_loss(made.model, piece)
        made.accelerator.backward(loss)
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(made.model.parameters(), made.args.max_grad_norm)
    made.optimizer.step()
    made.optimizer.zero_grad()
    return total


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    rows = json.loads(Path(sys.argv[2]).read_text())
    with tempfile.TemporaryDirectory() as scratch:
        made, inputs = trainer(sys.argv[1], scratch), padded(rows)
        for line in sys.stdin:
            begun = time.process_time()
            loss = step(made, inputs, -(-len(rows) // int(line)))
            print(json.dumps({"seconds": time.process_time() - begun, "loss": loss}), file=answers, flush=True)


if __name__ == "__main__":
    main()
