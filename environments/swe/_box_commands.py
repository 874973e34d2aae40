#!/usr/bin/python3 -I
"""Commands of the agent's box: `view`, `search` and `edit`, each by its own name. Standard library only."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

OWN = {".git", "__pycache__", ".pytest_cache"}
MOST_LINES, MOST_MATCHES = 200, 100
HELP = {
    "view": "view PATH [FIRST [LAST]]    lines of a file with their numbers, or the files of a folder",
    "search": "search PATTERN [PATH]       lines that match a regular expression, below a folder or in a file",
    "edit": "edit PATH OLD NEW           replace a text that stands once in a file; an empty OLD makes a new file",
}


def view(path: str, first: str = "1", last: str = "") -> str:
    """Lines of a file, numbered; or what is in a folder."""
    place = Path(path)
    if place.is_dir():
        names = sorted(
            f"{item.name}/" if item.is_dir() else item.name for item in place.iterdir() if item.name not in OWN
        )
        return "\n".join(names)
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    begin = max(int(first or 1), 1)
    end = min(int(last or begin + MOST_LINES - 1), begin + MOST_LINES - 1, len(lines))
    shown = [f"{number:5d}  {lines[number - 1]}" for number in range(begin, end + 1)]
    return "\n".join([*shown, f"({len(lines)} lines; {begin} to {end} are shown)"])


def search(pattern: str, path: str = ".") -> str:
    """Lines of text files that match."""
    wanted, place = re.compile(pattern), Path(path)
    files = [place] if place.is_file() else sorted(item for item in place.rglob("*") if not OWN & set(item.parts))
    found = []
    for file in files:
        if not file.is_file():
            continue
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (UnicodeDecodeError, OSError):
            continue
        found += [f"{file}:{number}: {line}" for number, line in enumerate(lines, 1) if wanted.search(line)]
    more = [f"({len(found) - MOST_MATCHES} more)"] if len(found) > MOST_MATCHES else []
    return "\n".join([*found[:MOST_MATCHES], *more]) or "No line matches."


def edit(path: str, old: str, new: str) -> str:
    """Replace a text that stands once in a file, or make a file."""
    place = Path(path)
    if not old:
        if place.exists():
            raise ValueError(f"{path} exists: say which text of it is to be replaced")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(new.encode("utf-8", "surrogateescape"))
        return f"Made {path}."
    text = place.read_bytes().decode("utf-8", "surrogateescape")
    if text.count(old) != 1:
        raise ValueError(f"the text to be replaced stands {text.count(old)} times in {path}; it must stand there once")
    place.write_bytes(text.replace(old, new).encode("utf-8", "surrogateescape"))
    return f"Edited {path}."


def main() -> int:
    """Run the command this program was called as."""
    name = Path(sys.argv[0]).name
    commands: dict[str, Callable[..., str]] = {"view": view, "search": search, "edit": edit}
    try:
        sys.stdout.write(f"{commands[name](*sys.argv[1:])}\n")
    except (OSError, ValueError, TypeError, re.error) as error:
        reason = HELP[name] if isinstance(error, TypeError) else getattr(error, "strerror", None) or error
        sys.stderr.write(f"{name}: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
