#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip() for line in file.read().strip().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None

counts = {}
for line in open("access.log", encoding="utf-8"):
    if line.rpartition('" ')[2].startswith("5"):
        address = line.split()[0]
        counts[address] = counts.get(address, 0) + 1
best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
print(int(read("report.txt") == [f"{address} {count}" for address, count in best]))
END
