"""Suites run and scored: statistics, comparison, report."""
