"""Run folders: append, read, resume, query."""
