"""What the makers of tasks look for in the applications, and the moves that find it on the pages."""

from __future__ import annotations

from arena.environments.web.workplace._database import Row
from arena.environments.web.workplace._evaluators import Added
from arena.environments.web.workplace._moves import Move, choose, click, fill, search
from arena.environments.web.workplace._world import World

__all__ = [
    "ALONE",
    "LETTERS",
    "REPLIES",
    "THREADS",
    "all_issues",
    "browse_forum",
    "browse_inbox",
    "filter_issues",
    "find_issue",
    "find_letter",
    "find_thread",
    "look_up",
    "sent",
    "some_issue",
    "some_thread",
]

THREADS = """
SELECT threads.*, boards.name AS board_name, people.name AS by,
    (SELECT COUNT(*) FROM replies WHERE thread = threads.id) AS replies,
    (SELECT COUNT(*) FROM votes WHERE thread = threads.id) AS votes
FROM threads JOIN boards ON boards.id = board JOIN people ON people.id = author
"""
REPLIES = "SELECT replies.*, people.name AS by FROM replies JOIN people ON people.id = author"
LETTERS = "SELECT mails.*, name, company FROM mails JOIN contacts ON contacts.email = sender"
ALONE = "(SELECT COUNT(*) FROM mails AS m WHERE m.subject = mails.subject) = 1"
_ISSUES = """
SELECT issues.*, code || '-' || number AS key, code, projects.name AS project_name, holder.name AS assignee_name
FROM issues JOIN projects ON projects.id = project LEFT JOIN people AS holder ON holder.id = assignee
"""


def some_thread(world: World, where: str = "1", *values: object) -> Row:
    """A thread with the names of its board and author, its replies and votes."""
    return world.one(f"{THREADS} WHERE {where}", *values)


def find_thread(thread: Row) -> list[Move]:
    """Search for a thread and open it."""
    return [*search("Search the forum", thread["title"]), *click(thread["title"])]


def browse_forum(world: World, thread: Row) -> list[Move]:
    """Go to a thread through its board, page by page."""
    ranked = world.database.rows("SELECT id FROM threads WHERE board = ? ORDER BY made DESC", thread["board"])
    page = [row["id"] for row in ranked].index(thread["id"]) // 10
    return [*click(thread["board_name"]), *click(*["Next page"] * page), *click(thread["title"])]


def find_letter(letter: Row) -> list[Move]:
    """Search for a letter and open it."""
    return [*search("Search mail", letter["subject"]), *click(letter["subject"])]


def browse_inbox(world: World, letter: Row) -> list[Move]:
    """Go through the inbox to a letter, page by page."""
    ranked = world.database.rows("SELECT id FROM mails WHERE folder = 'Inbox' ORDER BY made DESC, id DESC")
    page = [row["id"] for row in ranked].index(letter["id"]) // 10
    return click("Inbox", *["Next page"] * page, letter["subject"])


def look_up(contact: Row) -> list[Move]:
    """Find a person in the address book."""
    return [*click("Contacts"), *fill("Search contacts", contact["name"]), *click("Find", contact["name"])]


def sent(world: World, recipient: str, subject: str, body: object, answers: int | None = None) -> Added:
    """A letter that should have been sent."""
    values = {"folder": "Sent", "sender": world.me["email"], "recipient": recipient, "subject": subject}
    return Added("mails", {**values, "body": body, "answers": answers})


def some_issue(world: World, where: str = "1", *values: object) -> Row:
    """An issue with its key, its project and the name of its assignee."""
    return world.one(f"{_ISSUES} WHERE {where}", *values)


def all_issues(world: World, where: str, *values: object) -> list[Row]:
    """All issues that a condition holds for, by their keys."""
    return world.database.rows(f"{_ISSUES} WHERE {where} ORDER BY project, number", *values)


def find_issue(issue: Row) -> list[Move]:
    """Search for an issue and open it."""
    return [*search("Search issues", issue["key"]), *click(issue["key"])]


def filter_issues(issue: Row, **chosen: str) -> list[Move]:
    """Open the issue's project with filters, by the names of their lists."""
    moves = click(issue["project_name"])
    for label, option in chosen.items():
        moves += choose(label.replace("_", " ").capitalize(), option)
    return [*moves, *click("Apply")]
