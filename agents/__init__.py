"""Agents and the models they use. Importing this package makes the built-in ones known by name."""
