"""A forum, a mail client and an issue tracker with real back ends, and tasks that are done on their pages."""
