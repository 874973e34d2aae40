#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
expected = "".join(f"line {number} of the message\n" for number in range(1, 12))
try:
    found = open("message.txt", encoding="utf-8").read()
except (OSError, UnicodeDecodeError):
    found = ""
print(int(found == expected))
END
