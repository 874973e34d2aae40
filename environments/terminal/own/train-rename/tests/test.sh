#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
import os

expected = {"007-beach.jpg": "7 (Beach)", "012-dog.jpg": "12 (dog)", "103-snow.jpg": "103 (SNOW)", "001-tree.jpg": "1 (tree)"}
found = {}
for name in os.listdir("photos"):
    path = os.path.join("photos", name)
    found[name] = open(path).read().strip() if os.path.isfile(path) and not os.path.islink(path) else None
print(int(found == expected))
END
