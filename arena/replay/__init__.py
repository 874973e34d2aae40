"""Recorded episodes run again: verify, fork."""
