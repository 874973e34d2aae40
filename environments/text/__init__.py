"""Text games, all offline, each with an oracle, a floor and a proved suite."""
