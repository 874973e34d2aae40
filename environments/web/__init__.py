"""Environments in a real browser: pages, shops and applications that agents act on as people do."""
