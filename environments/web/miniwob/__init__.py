"""MiniWoB++ in Arena's browser: its 130 pages, each a small task that is drawn from a seed."""
