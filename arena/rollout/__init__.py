"""One engine that runs agents in environments, with limits, and writes records."""
