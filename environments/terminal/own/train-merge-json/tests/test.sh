#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
import json

expected = {"name": "site", "cache": {"ttl": 5, "size": 100}, "tags": ["b"], "deep": {"a": {"y": 2, "z": 3}}}
try:
    found = json.load(open("merged.json"))
except (OSError, ValueError):
    found = None
print(int(found == expected))
END
