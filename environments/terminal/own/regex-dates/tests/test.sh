#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip() for line in file.read().strip().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None

expected = "1999-12-31 2020-02-29 2023-11-09 2024-01-31 2024-03-05 2024-06-30 2025-07-04 2031-10-01".split()
print(int(read("dates.txt") == expected))
END
