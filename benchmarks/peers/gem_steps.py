"""gem-llm: bare steps per second of a game. Runs in the peer's environment."""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from games import BOXED, NUMBERS, WORDS, in_words

SECONDS = 1.0
ROUNDS = 5


def make(game, words):
    """The environment of a game, and its actions; `words` is an empty folder."""
    if game.startswith("number"):
        from gem.envs.game_env.guess_the_number import GuessTheNumberEnv

        said = in_words(BOXED) if game == "number-in-words" else [BOXED % number for number in NUMBERS]
        return GuessTheNumberEnv(min_number=1, max_number=20, max_turns=20), said
    # Its word list is a download of nltk; Arena's own list is put where nltk looks for it.
    corpus = Path(words, "corpora", "words")
    corpus.mkdir(parents=True)
    corpus.joinpath("en-basic").write_text(Path(sys.argv[2]).read_text())
    corpus.joinpath("README").write_text("")
    os.environ["NLTK_DATA"] = words
    import nltk

    nltk.download = lambda *arguments, **options: True
    from gem.envs.game_env.wordle import WordleEnv

    return WordleEnv(word_length=5, max_turns=6), [BOXED % word for word in WORDS]


def steps_per_second(env, actions, seeded):
    """As in `benchmarks/steps.py`."""
    steps, begun = 0, time.process_time()
    while time.process_time() - begun < SECONDS:
        for _ in range(20):
            env.reset(seed=steps) if seeded else env.reset()
            for action in actions:
                steps += 1
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    break
    return steps / (time.process_time() - begun)


def main():
    """Print the figure as JSON."""
    with tempfile.TemporaryDirectory() as words, contextlib.redirect_stdout(io.StringIO()):
        env, actions = make(sys.argv[1], words)
        found = max(steps_per_second(env, actions, "seeded" in sys.argv) for _ in range(ROUNDS))
    print(json.dumps({"steps_per_second": found}))


if __name__ == "__main__":
    main()
