"""Tokens per CPU-second of an optimiser step, Arena's and TRL's on the same ragged rows, and how much is padding."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._peers import PeerMissing, TrlProcess
from benchmarks._report import Figure, Report
from benchmarks._rows import ragged_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from arena.trainers._rows import Row

ROWS, TURNS, ROUNDS = 24, 8, 5
PASS_TOKENS = 4096
AT_ONCE = (2, 4, 8)
"""Rows that TRL takes at once: the fastest in the rounds to warm up is compared."""

MOST_WASTE = 0.1


class Updater:
    """Arena's update of the same rows, again and again.

    Args:
        folder: the model.
        rows, credit: what it is trained on.
        pass_tokens: padded tokens of one forward pass.
        device: where.
    """

    def __init__(
        self,
        folder: Path,
        rows: list[Row],
        credit: NDArray[np.float64],
        *,
        pass_tokens: int = PASS_TOKENS,
        device: str = "cpu",
    ) -> None:
        from arena.trainers._config import TrainConfig
        from arena.trainers._optimiser import Optimiser
        from arena.trainers._policy import Policy, PolicyOptions

        told = {"algorithm": "grpo", "env": "arena/KeyDoor-v0", "model": str(folder), "minibatches": 1}
        self._config = TrainConfig.read({**told, "pass_tokens": pass_tokens, "policy": {"device": device}})
        self.policy = Policy.load(folder, PolicyOptions(device=device))
        self._optimiser = Optimiser(self.policy.parameters(), self._config.optimiser)
        self._folder = folder
        self.take(rows, credit)

    def take(self, rows: list[Row], credit: NDArray[np.float64]) -> None:
        """Train on these rows from now on."""
        self._rows, self._credit = rows, credit

    def step(self) -> dict[str, Any]:
        """One optimiser step; what it came to."""
        from arena.trainers import grpo
        from arena.trainers._update import Update

        update = Update(
            self._config,
            self.policy,
            self._optimiser,
            step=1,
            rows=self._rows,
            episodes=[],
            credit=self._credit,
            rate=1e-6,
            temperature=1.0,
            folder=self._folder,
        )
        for batch in update.batches():
            logprob = update.logprobs(batch)
            counts = {"tokens": batch.tokens, "sequences": batch.sequences}
            loss, metrics = grpo.loss(logprob, batch.old_logprob, batch.advantage, batch.mask, grpo.Config(), **counts)
            update.backward(batch, logprob, loss, metrics)
        return update.metrics()


def questions(rows: list[Row], credit: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The rows as the peer's script reads them; the prompt is what comes before the first answer."""
    asked = []
    for row in rows:
        trains = row.trains()
        asked.append(
            {
                "ids": row.ids.tolist(),
                "prompt": int(trains.argmax()),
                "mask": trains.astype(int).tolist(),
                "old": [value if chosen else 0.0 for value, chosen in zip(row.logprob.tolist(), trains, strict=True)],
                "advantage": float(credit[row.source[0]]),
            }
        )
    return asked


def seconds_of_rounds(
    folder: Path, rows: list[Row], credit: NDArray[np.float64], rounds: int
) -> tuple[list[float], list[float], dict[str, Any], str]:
    """CPU seconds of both sides' steps in turns, a step's metrics, and TRL's rows at once or why it is missing."""
    updater, ours, theirs = Updater(folder, rows, credit), [], []
    (folder / "rows.json").write_text(json.dumps(questions(rows, credit)))
    metrics = updater.step()
    try:
        with TrlProcess("trl_update", str(folder), str(folder / "rows.json")) as trl:
            warm = {number: trl.ask(str(number)) for number in AT_ONCE}
            fastest = min(warm, key=lambda number: warm[number]["seconds"])
            for _ in range(rounds):
                begun = time.process_time()
                updater.step()
                ours.append(time.process_time() - begun)
                theirs.append(trl.ask(str(fastest))["seconds"])
        return ours, theirs, metrics, f"{fastest} rows at once, the fastest of {', '.join(map(str, AT_ONCE))}"
    except PeerMissing as missing:
        begun = time.process_time()
        updater.step()
        return [time.process_time() - begun], [], metrics, f"no figure: {missing}"


def measure(rounds: int = ROUNDS) -> Report:
    """The comparison, and the waste of both paddings."""
    from benchmarks import _multiturn

    with tempfile.TemporaryDirectory() as temporary:
        folder = _multiturn.build(Path(temporary, "model"))
        rows, credit = ragged_rows(ROWS, TURNS, vocabulary=390)
        ours, theirs, metrics, words = seconds_of_rounds(folder, rows, credit, rounds)
    tokens = sum(map(len, rows))
    note = f"TRL: {words}"
    if theirs:
        ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
        note += f"; {min(ratios):.2f}x to {max(ratios):.2f}x over {len(ratios)} rounds."
    widest = max(int(row.trains().argmax()) for row in rows) + max(
        len(row) - int(row.trains().argmax()) for row in rows
    )
    figures = [
        Figure(
            "tokens of an update",
            tokens / statistics.median(ours),
            "per CPU-s",
            more_is_better=True,
            peer=f"TRL {TrlProcess.VERSION}",
            theirs=tokens / statistics.median(theirs) if theirs else None,
            times=1.0,
            note=note,
        ),
        Figure(
            "padding",
            metrics["padding_waste"],
            "share",
            peer=f"TRL {TrlProcess.VERSION}",
            theirs=1 - tokens / (len(rows) * widest),
            target=MOST_WASTE,
            note="of what goes through the network; TRL pads to the longest prompt and the longest rest of a batch.",
        ),
    ]
    method = (
        f"{ROWS} rows of 1 to {TURNS} turns, {tokens:,} tokens, {metrics['computed_tokens']:,} of them computed; 2.9 M "
        f"parameters, one thread, float32, clipped loss over all tokens, AdamW; passes of {PASS_TOKENS:,} tokens. "
        f"Medians of {rounds} steps taken in turns after one to warm up; TRL without gradient checkpointing."
    )
    return Report(method, figures, {"seconds": {"arena": ours, "trl": theirs}})
