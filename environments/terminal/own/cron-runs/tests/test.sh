#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip() for line in file.read().strip().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None

expected = """backup 1
rotate 24
poll 54
report 0
weekday-mail 5
monthly-close 1
leap 2
sunday-sync 0
either 4
mixed 12"""
print(int(read("runs.txt") == expected.splitlines()))
END
