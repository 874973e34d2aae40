"""Environments and tasks written for other libraries, played here."""
