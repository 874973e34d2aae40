#!/bin/bash
# Writes the reward: 1 or 0.
python3 -I - >/logs/verifier/reward.txt <<'END'
import os
import stat

FILES = {
    "run.sh": 0o750, "index.html": 0o640, "lib/tool.sh": 0o750, "lib/data.txt": 0o640, "lib/with space.txt": 0o640,
    "secret/key.pem": 0o600, "secret/unlock.sh": 0o600, "lib/secret/deep/token": 0o600, "lib/script.shx": 0o640,
}
FOLDERS = ["", "lib", "secret", "lib/secret", "lib/secret/deep", "empty"]

def right():
    for place, mode in [*FILES.items(), *((folder, 0o750) for folder in FOLDERS)]:
        path = os.path.join("site", place)
        status = os.lstat(path)
        if stat.S_IMODE(status.st_mode) != mode or stat.S_ISREG(status.st_mode) != (place in FILES):
            return False
        if place in FILES and open(path).read() != place + "\n":
            return False
    return os.readlink("site/current") == "lib/data.txt"

try:
    print(int(right()))
except OSError:
    print(0)
END
