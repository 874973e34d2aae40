"""Writing files so that a crash leaves the old or the new content, never half of one."""

from __future__ import annotations

import os
from pathlib import Path


def open_to_append(path: Path) -> int:
    """A descriptor that appends to a file, which is created where it is missing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`; one system call wherever the system takes it at once."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the file's place in one step, on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
