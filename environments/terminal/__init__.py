"""Tasks at a terminal: folders in Harbor's and terminal-bench's formats, and some of our own."""
