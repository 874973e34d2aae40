"""What the tests of several ranks do on each rank; as a program it is one rank that does what it is told.

Reads a line of JSON, `{"case": …, "arguments": {…}}`, does it with the other ranks, and answers with one.
"""

from __future__ import annotations

import json
import sys

import babble  # noqa: F401 - registers its environment
import torch

from arena.core.env import Env
from arena.core.errors import ArenaError, UsageError
from arena.core.registry import register
from arena.trainers import TurnTable, grpo
from arena.trainers._config import TrainConfig
from arena.trainers._ranks import Ranks
from arena.trainers._sharding import whole
from arena.trainers._training import Training


class Ragged(Env):
    """One turn, or twelve: tasks have one of the two."""

    instructions = "Say anything."

    def _reset(self, task):
        self.left = int(self.np_random.choice([1, 12]))
        return "Speak.", {}

    def _step(self, action):
        self.left -= 1
        return "Go on.", len(action) / 10, self.left == 0, False, {"valid": True, "success": self.left == 0}


register("ragged/Ragged-v0", "rank_cases:Ragged", summary="Episodes of very different lengths.", max_turns=12)


def train(ranks, config, out=None, resume=None):
    """A whole training; its metrics."""
    start = Training.resume(resume, ranks) if resume else Training.start(TrainConfig.read(config), out, ranks)
    with start as training:
        training.run()
        return training.metrics.lines


def train_until(ranks, resume, until):
    """Go on with a training up to a step; rank 1 alone is told to stop."""
    with Training.resume(resume, ranks) as training:
        training.on_progress = lambda text: setattr(
            training, "stopping", ranks.number == 1 and training.done + 1 >= until
        )
        training.run()
        return training.done


def gradients(ranks, config, out):
    """The gradients of one minibatch, written by rank 0 as they come to the optimiser; what the ranks computed."""
    from safetensors.torch import save_file

    found, passes = {}, []
    with Training.start(TrainConfig.read(config), out, ranks) as training:
        step = next(training.steps())
        episodes = training.collect(step)
        table = TurnTable.from_episodes(episodes)
        settings = grpo.Config()
        optimiser, make_step = training._optimiser, training._optimiser.step

        def look_and_step(rate):
            optimiser._add_up()
            found.update({name: whole(value.grad).clone() for name, value in optimiser._steered.items()})
            optimiser._add_up = lambda: None
            return make_step(rate)

        optimiser.step = look_and_step
        credit = table.on_tokens(grpo.advantages(table, settings))
        with training.updating(step, episodes, credit, table=table) as update:
            for batch in update.batches():
                passes.append([len(batch.rows), batch.spare])
                logprob = update.logprobs(batch)
                counts = {"tokens": batch.tokens, "sequences": batch.sequences}
                total, metrics = grpo.loss(logprob, batch.old_logprob, batch.advantage, batch.mask, settings, **counts)
                update.backward(batch, logprob, total, metrics)
    if ranks.first:
        save_file(found, f"{out}/gradients.safetensors")
    return {"passes": passes}


def fail_on_one(ranks, config, out, on):
    """Collecting fails on one rank; what each of them says, and whether they still understand each other."""

    class Unwilling:
        spec = "unwilling"

        def start(self, brief, seed):
            raise UsageError("This one does not play.")

    with Training.start(TrainConfig.read(config), out, ranks) as training:
        step = next(training.steps())
        try:
            training.collect(step, Unwilling() if ranks.number == on else None)
        except ArenaError as error:
            said = f"{type(error).__name__}: {error}"
    return [said, ranks.exchange(ranks.number)]


def diverge(ranks, config, out):
    """A credit that is no number on one row; what each rank says, and whether the weights stayed as they were."""
    with Training.start(TrainConfig.read(config), out, ranks) as training:
        step = next(training.steps())
        episodes = training.collect(step)
        table = TurnTable.from_episodes(episodes)
        credit = table.on_tokens(torch.ones(len(table)).numpy())
        credit[-1] = float("nan")
        before = {name: value.clone() for name, value in training.policy.network.named_parameters()}
        try:
            with training.updating(step, episodes, credit, table=table) as update:
                for batch in update.batches():
                    logprob = update.logprobs(batch)
                    update.backward(batch, logprob, (logprob * batch.advantage).sum() / batch.tokens, {})
        except ArenaError as error:
            said = f"{type(error).__name__}: {error}"
        same = all(torch.equal(before[name], value) for name, value in training.policy.network.named_parameters())
    return [said, same]


CASES = {case.__name__: case for case in (train, train_until, gradients, fail_on_one, diverge)}


def main():
    """Be a rank until there is nothing more to do."""
    torch.set_num_threads(1)
    with Ranks.join() as ranks:
        for line in sys.stdin:
            asked = json.loads(line)
            answer = CASES[asked["case"]](ranks, **asked["arguments"])
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
