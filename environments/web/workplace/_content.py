"""What the applications hold at first: people, discussions, letters and issues, drawn from a seed."""

from __future__ import annotations

import random
import tomllib
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any, TypeVar

from arena.environments.web.workplace._database import ME, Database

__all__ = ["PRIORITIES", "STATUSES", "words", "write"]

T = TypeVar("T")

STATUSES = ("Open", "In progress", "In review", "Done")
PRIORITIES = ("Low", "Medium", "High", "Urgent")

_PEOPLE = 14
_THREADS_PER_BOARD = 13
_ISSUES_PER_PROJECT = 18
_NEWEST = datetime(2026, 1, 4, 21)


@lru_cache(maxsize=1)
def words() -> dict[str, Any]:
    """What everything is made of."""
    return tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))


def write(database: Database, draw: random.Random) -> None:
    """Fill an empty database."""
    _people(database, draw)
    _forum(database, draw)
    _mails(database, draw)
    _tracker(database, draw)
    database.filled()


def _people(database: Database, draw: random.Random) -> None:
    first, last = draw.sample(words()["first"], _PEOPLE), draw.sample(words()["last"], _PEOPLE)
    names = [f"{one} {two}" for one, two in zip(first, last, strict=True)]
    people = [
        {
            "name": name,
            "email": f"{name.lower().replace(' ', '.')}@team.test",
            "city": draw.choice(words()["cities"]),
            "bio": draw.choice(words()["bios"]),
        }
        for name in names
    ]
    database.fill("people", people)
    colleagues = [{**_only(person, "name", "email"), "phone": _phone(draw), "company": "Team"} for person in people[1:]]
    known = {*first}, {*last}
    outside = zip(
        draw.sample([one for one in words()["first"] if one not in known[0]], 10),
        draw.sample([one for one in words()["last"] if one not in known[1]], 10),
        draw.sample(words()["companies"], 10),
        strict=True,
    )
    clients = [
        {"name": f"{one} {two}", "email": f"{one.lower()}@{domain(firm)}", "phone": _phone(draw), "company": firm}
        for one, two, firm in outside
    ]
    database.fill("contacts", draw.sample([*colleagues, *clients], len(colleagues) + len(clients)))
    settings = {"signature": "", "automatic reply": "off", "automatic reply text": ""}
    database.fill("settings", [{"name": name, "value": value} for name, value in settings.items()])


def _forum(database: Database, draw: random.Random) -> None:
    boards, chatter = words()["boards"], words()["chatter"]
    database.fill("boards", [_only(board, "name", "about") for board in boards])
    threads = []
    for number, board in enumerate(boards, 1):
        titles = [title.format(thing=thing) for title in board["titles"] for thing in board["things"]]
        # Few people start threads on a board, so that some have started several.
        starters = draw.sample(range(1, _PEOPLE + 1), 6)
        for title in draw.sample(titles, _THREADS_PER_BOARD):
            author, body = draw.choice(starters), draw.choice(chatter["bodies"])
            threads.append({"board": number, "author": author, "title": title, "body": body})
    draw.shuffle(threads)
    for thread, made in zip(threads, _times(draw, len(threads), 9), strict=True):
        thread["made"] = made
    database.fill("threads", threads)
    replies, votes = [], []
    for number, thread in enumerate(threads, 1):
        voters = draw.sample(range(2, _PEOPLE + 1), draw.randint(0, 12))
        votes += [{"thread": number, "person": person} for person in voters]
        said = draw.sample(chatter["replies"], draw.choice((0, 1, 2, 3, 4, 7, 9)))
        times = _times_after(draw, thread["made"], len(said))
        regulars = draw.sample(range(1, _PEOPLE + 1), 5)
        for body, made in zip(said, times, strict=True):
            replies.append({"thread": number, "author": draw.choice(regulars), "body": body, "made": made})
    replies.sort(key=lambda reply: str(reply["made"]))
    database.fill("replies", replies)
    database.fill("votes", votes)


def _mails(database: Database, draw: random.Random) -> None:
    me = database.row("people", ME)
    contacts = database.rows("SELECT * FROM contacts")
    assert me is not None
    clients = [one for one in contacts if one["company"] != "Team"]
    team = [one for one in contacts if one["company"] == "Team"]
    letters = []
    for client in clients[:6]:
        letters += [(client["email"], *_invoice(draw, client["company"])) for _ in range(draw.choice((1, 2)))]
    for client in clients[6:]:
        letters += [(client["email"], *_newsletter(draw, client["company"], news)) for news in _news(draw)]
    for city in draw.sample(words()["cities"], 4):
        letters.append((draw.choice(clients)["email"], *_booking(draw, city)))
    for goods in draw.sample(words()["mail"]["goods"], 4):
        letters.append((draw.choice(clients)["email"], *_delivery(draw, goods)))
    for topic in draw.sample(words()["mail"]["topics"], 7):
        letters.append((draw.choice(team)["email"], *_meeting(draw, topic)))
    draw.shuffle(letters)
    mails = [
        {"sender": sender, "recipient": me["email"], "subject": subject, "body": body, "made": made}
        for (sender, subject, body), made in zip(letters, _times(draw, len(letters), 5), strict=True)
    ]
    for mail in mails:
        mail |= {"folder": "Inbox", "unread": int(draw.random() < 0.3), "starred": int(draw.random() < 0.1)}
    database.fill("mails", mails)
    topics = draw.sample(words()["mail"]["topics"], 6)
    kept = [("Sent", topic) for topic in topics[:4]] + [("Drafts", topic) for topic in topics[4:]]
    database.fill(
        "mails",
        [
            {
                "folder": folder,
                "sender": me["email"],
                "recipient": one["email"],
                "subject": f"Question about {topic}",
                "body": f"Could you tell me more about {topic}?",
                "made": made,
            }
            for (folder, topic), one, made in zip(kept, draw.sample(team, 6), _times(draw, 6, 30), strict=True)
        ],
    )


def _tracker(database: Database, draw: random.Random) -> None:
    kinds = words()["tracker"]
    projects = draw.sample(kinds["projects"], 3)
    database.fill("projects", [{"name": name, "code": code, "about": about} for name, code, about in projects])
    titles = [f"{part} {trouble}" for part in kinds["parts"] for trouble in kinds["troubles"]]
    titles = draw.sample(titles, 3 * _ISSUES_PER_PROJECT)
    dues = draw.sample(range(10, 100), 3 * _ISSUES_PER_PROJECT)
    team = [*draw.sample(range(2, _PEOPLE + 1), 6), ME]
    issues = []
    for place, (title, due) in enumerate(zip(titles, dues, strict=True)):
        project, number = divmod(place, _ISSUES_PER_PROJECT)
        issues.append(
            {
                "project": project + 1,
                "number": number + 1,
                "title": title,
                "body": draw.choice(kinds["bodies"]),
                "status": draw.choices(STATUSES, (5, 3, 1, 2))[0],
                "priority": draw.choices(PRIORITIES, (2, 4, 3, 2))[0],
                "label": draw.choice(kinds["labels"]),
                "assignee": draw.choice([*team, None]),
                "reporter": draw.choice(team),
                "milestone": draw.choice(("1.4", "1.5", "2.0", "")),
                "hours": draw.randint(1, 16),
                "due": (datetime(2026, 1, 1) + timedelta(days=due)).strftime("%Y-%m-%d"),
                "made": (datetime(2025, 11, 1, 8) + timedelta(days=2 * number, minutes=due * 7)).strftime(_FORMAT),
            }
        )
    database.fill("issues", issues)
    comments = []
    for number, issue in enumerate(issues, 1):
        said = draw.sample(kinds["comments"], draw.choice((0, 0, 1, 2, 3)))
        for body, made in zip(said, _times_after(draw, str(issue["made"]), len(said)), strict=True):
            comments.append({"issue": number, "author": draw.choice(team), "body": body, "made": made})
    database.fill("comments", comments)


_FORMAT = "%Y-%m-%d %H:%M"


def _invoice(draw: random.Random, company: str) -> tuple[str, str]:
    amount = draw.randint(4000, 499900) / 100
    number, day = draw.randint(10000, 99999), draw.randint(12, 30)
    return (
        f"Invoice {number} from {company}",
        f"Dear customer,\n\nthe amount due is {amount:,.2f} EUR. Please pay by 2026-01-{day}.\n\n{company}",
    )


def _newsletter(draw: random.Random, company: str, news: str) -> tuple[str, str]:
    return f"{company}: {news}", f"Hello from {company}!\n\nRead about {news} in this letter.\n\nUnsubscribe any time."


def _news(draw: random.Random) -> list[str]:
    return draw.sample(words()["mail"]["news"], draw.choice((2, 3)))


def _booking(draw: random.Random, city: str) -> tuple[str, str]:
    code = "".join(draw.choice("ABCDEFGHJKLMNPRSTUVWXYZ23456789") for _ in range(6))
    nights, day = draw.randint(2, 6), draw.randint(10, 28)
    return (
        f"Your stay in {city}",
        f"Your room in {city} is booked for {nights} nights from 2026-02-{day}.\n\nBooking code: {code}",
    )


def _delivery(draw: random.Random, goods: str) -> tuple[str, str]:
    number, day = draw.randint(100000, 999999), draw.choice(words()["mail"]["days"])
    return f"Order {number} is on its way", f"Your parcel with {goods} arrives on {day}."


def _meeting(draw: random.Random, topic: str) -> tuple[str, str]:
    day, room, hour = draw.choice(words()["mail"]["days"]), draw.choice(words()["mail"]["rooms"]), draw.randint(9, 16)
    return f"Meeting about {topic}", f"Hi,\n\nlet us talk about {topic} on {day} at {hour}:30 in room {room}.\n\nThanks"


def domain(company: str) -> str:
    """Where a company's mail comes from."""
    return "".join(letter for letter in company.lower() if letter.isalpha()) + ".test"


def _phone(draw: random.Random) -> str:
    return f"+44 20 {draw.randint(7000, 7999)} {draw.randint(1000, 9999)}"


def _times(draw: random.Random, number: int, hours: int) -> list[str]:
    """Different times, the newest first, about so many hours apart."""
    minutes, found = 0, []
    for _ in range(number):
        minutes += draw.randint(30, 60 * hours)
        found.append((_NEWEST - timedelta(minutes=minutes)).strftime(_FORMAT))
    return found


def _times_after(draw: random.Random, made: str, number: int) -> list[str]:
    """Different times after another one, in their order."""
    start = datetime.strptime(made, _FORMAT)
    last = int((datetime(2026, 1, 5) - start).total_seconds() / 60)
    return [(start + timedelta(minutes=at)).strftime(_FORMAT) for at in sorted(draw.sample(range(1, last), number))]


def _only(row: dict[str, T], *names: str) -> dict[str, T]:
    return {name: row[name] for name in names}
