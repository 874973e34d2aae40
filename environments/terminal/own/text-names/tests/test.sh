#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip() for line in file.read().strip().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None

people = set()
for line in open("names.txt", encoding="utf-8"):
    if line.strip() and not line.startswith("#"):
        last, first = (word.strip().capitalize() for word in line.split(","))
        people.add((last, first))
print(int(read("out.txt") == [f"{first} {last}" for last, first in sorted(people)]))
END
