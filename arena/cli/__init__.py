"""The command `arena`: one small file per command."""
