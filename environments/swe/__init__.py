"""Software engineering: bugs in real packages, found and fixed in a sandbox, graded by the packages' own tests."""
