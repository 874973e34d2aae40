#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
expected = "[server]\nport = 8443\nworkers = 6\n\n[cache]\nttl = 90\n"
try:
    found = open("config.ini", encoding="utf-8").read()
except (OSError, UnicodeDecodeError):
    found = ""
print(int(found == expected))
END
