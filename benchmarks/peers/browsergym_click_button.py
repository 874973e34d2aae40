"""BrowserGym: seconds of click-button episodes, from reset to reward. Runs in the peer's environment.

Its chat window starts a second Chromium without the settings of the first, so the system's browser is put where
Playwright keeps its own.
"""

import functools
import json
import os
import re
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing about each request."""

    def log_message(self, format, *args):
        """Nothing."""


def button(nodes, label):
    """The number of the button with a label."""
    for node in nodes:
        if node["role"]["value"] == "button" and node["name"]["value"] == label:
            return node["browsergym_id"]
    raise LookupError(label)


def main(chromium, pages, episodes):
    """Play the pages in a folder, with the browser that is named."""
    browsers = Path(tempfile.mkdtemp(), "browsers")
    place = browsers / "chromium-1117" / "chrome-linux" / "chrome"
    place.parent.mkdir(parents=True)
    place.symlink_to(chromium)
    os.environ["PLAYWRIGHT_BROWSERS_PATH"] = str(browsers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=pages))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["MINIWOB_URL"] = f"http://127.0.0.1:{server.server_port}/miniwob/"

    import browsergym.miniwob  # noqa: F401
    import gymnasium

    env = gymnasium.make("browsergym/miniwob.click-button", pw_chromium_kwargs={"executable_path": chromium})
    taken, rewards = [], []
    for seed in range(episodes):
        begun = time.perf_counter()
        seen, _ = env.reset(seed=seed)
        label = re.search('"(.*)"', seen["goal"])[1]
        _, reward, *_ = env.step(f'click("{button(seen["axtree_object"]["nodes"], label)}")')
        taken.append(time.perf_counter() - begun)
        rewards.append(float(reward))
    env.close()
    print(json.dumps({"seconds": taken, "rewards": rewards}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
