#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip() for line in file.read().strip().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None

print(int(read("answer.txt") == ["bucket", "candle", "lamp", "rope", "tent"]))
END
