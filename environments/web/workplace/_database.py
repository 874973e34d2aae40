"""The applications' database: SQLite in memory, one for each episode, and what was changed in it since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

__all__ = ["DEFAULTS", "ME", "Change", "Database"]

ME = 1
"""The person the agent acts for, in `people`."""

_START = datetime(2026, 1, 5, 9)
"""When an episode begins: the time of the pages' own clock."""

_SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT, bio TEXT);
CREATE TABLE boards (id INTEGER PRIMARY KEY, name TEXT, about TEXT);
CREATE TABLE threads (id INTEGER PRIMARY KEY, board INTEGER REFERENCES boards, author INTEGER REFERENCES people,
    title TEXT, body TEXT, made TEXT);
CREATE TABLE replies (id INTEGER PRIMARY KEY, thread INTEGER REFERENCES threads, author INTEGER REFERENCES people,
    body TEXT, made TEXT);
CREATE TABLE votes (id INTEGER PRIMARY KEY, thread INTEGER REFERENCES threads, person INTEGER REFERENCES people,
    UNIQUE (thread, person));
CREATE TABLE bookmarks (id INTEGER PRIMARY KEY, thread INTEGER UNIQUE REFERENCES threads);
CREATE TABLE mails (id INTEGER PRIMARY KEY, folder TEXT, sender TEXT, recipient TEXT, subject TEXT, body TEXT,
    label TEXT DEFAULT '', starred INTEGER DEFAULT 0, unread INTEGER DEFAULT 0, answers INTEGER, made TEXT);
CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT, email TEXT, phone TEXT, company TEXT);
CREATE TABLE settings (id INTEGER PRIMARY KEY, name TEXT UNIQUE, value TEXT);
CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT, code TEXT, about TEXT);
CREATE TABLE issues (id INTEGER PRIMARY KEY, project INTEGER REFERENCES projects, number INTEGER, title TEXT,
    body TEXT, status TEXT, priority TEXT, label TEXT, assignee INTEGER REFERENCES people,
    reporter INTEGER REFERENCES people, milestone TEXT, hours INTEGER, due TEXT, made TEXT, UNIQUE (project, number));
CREATE TABLE comments (id INTEGER PRIMARY KEY, issue INTEGER REFERENCES issues, author INTEGER REFERENCES people,
    body TEXT, made TEXT);
CREATE TABLE watches (id INTEGER PRIMARY KEY, issue INTEGER UNIQUE REFERENCES issues);
"""

_INCIDENTAL = {"id", "made", "number", "unread"}
"""Columns that are nobody's choice: identifiers, times, and what reading a message leaves behind."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "threads": {"author": ME},
    "replies": {"author": ME},
    "votes": {"person": ME},
    "mails": {"label": "", "starred": 0, "answers": None},
    "contacts": {"phone": "", "company": ""},
    "issues": {
        "body": "",
        "status": "Open",
        "priority": "Medium",
        "label": "",
        "assignee": None,
        "reporter": ME,
        "milestone": "",
        "hours": None,
        "due": "",
    },
    "comments": {"author": ME},
}
"""What a new row holds in columns for which nothing was chosen."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One row that was added, removed, or differs now.

    Attributes:
        table: whose.
        row: its id; None of an added one.
        now: what it holds (of a changed one: in the columns that differ); None where it was removed.
    """

    table: str
    row: int | None = None
    now: Mapping[str, Any] | None = field(default=None, hash=False)


class Database:
    """The rows of all applications."""

    def __init__(self) -> None:
        self._sqlite = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._sqlite.row_factory = sqlite3.Row
        self._sqlite.execute("PRAGMA foreign_keys = ON")
        self._sqlite.executescript(_SCHEMA)
        self._columns = {
            table["name"]: [
                column["name"]
                for column in self.rows(f"PRAGMA table_info({table['name']})")
                if column["name"] not in _INCIDENTAL
            ]
            for table in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        self._first: dict[str, dict[int, tuple[Any, ...]]] = {}
        self._writes = 0

    def fill(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add seeded rows, which have the same columns."""
        rows = list(rows)
        if rows:
            self._sqlite.executemany(_insertion(table, rows[0]), rows)

    def filled(self) -> None:
        """From now on changes count."""
        self._first = self._contents()

    def rows(self, question: str, *values: Any) -> list[Row]:
        """All rows that answer a question."""
        return [dict(row) for row in self._sqlite.execute(question, values)]

    def row(self, table: str, number: str | int) -> Row | None:
        """A row by its id, as it stands in an address; None where there is none."""
        found = self.rows(f"SELECT * FROM {table} WHERE id = ?", int(number)) if _is_id(number) else []
        return found[0] if found else None

    def value(self, question: str, *values: Any) -> Any:
        """The first column of the first row; None where there is none."""
        found = self._sqlite.execute(question, values).fetchone()
        return None if found is None else found[0]

    def add(self, table: str, **values: Any) -> int:
        """Add a row, and say its id."""
        return int(self._sqlite.execute(_insertion(table, values), values).lastrowid or 0)

    def change(self, table: str, row: int, **values: Any) -> None:
        """Change columns of a row."""
        columns = ", ".join(f"{name} = :{name}" for name in values)
        self._sqlite.execute(f"UPDATE {table} SET {columns} WHERE id = :id", {**values, "id": row})

    def remove(self, table: str, row: int) -> None:
        """Remove a row."""
        self._sqlite.execute(f"DELETE FROM {table} WHERE id = ?", (row,))

    def now(self) -> str:
        """The time of a new row: one minute later each time, so that replays agree."""
        self._writes += 1
        return (_START + timedelta(minutes=self._writes)).strftime("%Y-%m-%d %H:%M")

    def changes(self) -> list[Change]:
        """What differs from the seeded rows, without what is nobody's choice."""
        found = []
        for table, rows in self._contents().items():
            before, names = self._first[table], self._columns[table]
            for key, row in rows.items():
                if key not in before:
                    found.append(Change(table, None, dict(zip(names, row, strict=True))))
                elif row != before[key]:
                    pairs = zip(names, row, before[key], strict=True)
                    found.append(Change(table, key, {name: now for name, now, was in pairs if now != was}))
            found += [Change(table, key) for key in before if key not in rows]
        return found

    def close(self) -> None:
        """Let it go; a second call does nothing."""
        self._sqlite.close()

    def _contents(self) -> dict[str, dict[int, tuple[Any, ...]]]:
        """Table -> id -> what was chosen of the row, in the order of `_columns`."""
        found = {}
        for table, names in self._columns.items():
            rows = self._sqlite.execute(f"SELECT id, {', '.join(names)} FROM {table}")
            found[table] = {key: tuple(rest) for key, *rest in rows}
        return found


def _insertion(table: str, columns: Mapping[str, Any]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"


def _is_id(number: str | int) -> bool:
    return isinstance(number, int) or (number.isascii() and number.isdigit() and len(number) < 12)
