"""Environments. Importing this package makes the built-in ones known and imports none of them."""

from arena.core.registry import register, register_suites

register_suites("arena.environments.text")
