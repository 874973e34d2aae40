"""A small site to try a browser on: the staff directory of a company, drawn anew for every seed."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from arena.core.seeds import derive
from arena.environments.web._serving import Pages, Request, Response

__all__ = ["Directory", "Errand", "draw_errand"]

_FIRST = (
    *("Ada", "Alan", "Barbara", "Edsger", "Frances", "Grace", "Hedy", "John", "Katherine", "Ken", "Lise", "Margaret"),
    *("Niklaus", "Radia", "Robin", "Shafi", "Sophie", "Tony"),
)
_LAST = (
    *("Abbott", "Berger", "Costa", "Dubois", "Egede", "Fischer", "Garcia", "Horvat", "Ivanova", "Jansen", "Kowalski"),
    *("Larsen", "Moreau", "Nagy", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Tanaka"),
)
_DEPARTMENTS = ("Accounting", "Archive", "Design", "Legal", "Research", "Workshop")


@dataclass
class Person:
    """One entry."""

    name: str
    department: str
    phone: str
    room: str


@dataclass(frozen=True)
class Errand:
    """What is to be done: say someone's phone number, or enter someone's new room."""

    kind: Literal["phone", "room"]
    people: tuple[Person, ...]
    number: int
    room: str

    @property
    def goal(self) -> str:
        """The errand in words."""
        person = self.people[self.number]
        if self.kind == "phone":
            return f"Find the phone number of {person.name} in the staff directory and send it to the user."
        return f"{person.name} has moved: enter room {self.room} for them in the staff directory."

    @property
    def digest(self) -> str:
        """Names the errand; equal ones have equal names."""
        rows = [(person.name, person.department, person.phone, person.room) for person in self.people]
        return f"{derive('Directory', self.kind, rows, self.number, self.room):016x}"


def draw_errand(generator: np.random.Generator, people: int) -> Errand:
    """Draw a directory of so many people, and an errand in it."""
    first, last = generator.permutation(len(_FIRST)), generator.permutation(len(_LAST))
    phones, rooms = generator.permutation(9000)[:people] + 1000, generator.permutation(400)[: people + 1] + 100
    entries = tuple(
        Person(
            f"{_FIRST[first[number % len(_FIRST)]]} {_LAST[last[number % len(_LAST)]]}",
            _DEPARTMENTS[int(generator.integers(len(_DEPARTMENTS)))],
            str(phones[number]),
            str(rooms[number]),
        )
        for number in range(people)
    )
    kind: Literal["phone", "room"] = "phone" if generator.integers(2) else "room"
    return Errand(kind, entries, int(generator.integers(people)), str(rooms[people]))


@dataclass
class Directory:
    """The site: departments, people, a search, and a form for new rooms; `rooms` holds what was entered."""

    errand: Errand
    rooms: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pages = Pages()
        pages.get("/")(self._home)
        pages.get("/search")(self._search)
        pages.get("/department/{name}")(self._department)
        pages.get("/person/{number}")(self._person)
        pages.post("/person/{number}")(self._moved)
        self.answer = pages

    def _home(self, request: Request) -> Response:
        links = "".join(f'<li><a href="/department/{name}">{name}</a>' for name in _DEPARTMENTS)
        return _page("Staff directory", f"<p>Choose a department, or search for a name.</p><ul>{links}</ul>")

    def _search(self, request: Request) -> Response:
        words = request.query.get("q", "").casefold().split()
        found = [n for n, p in enumerate(self.errand.people) if words and all(w in p.name.casefold() for w in words)]
        return _page("Search", self._list(found) if found else "<p>Nobody of that name works here.</p>")

    def _department(self, request: Request, name: str) -> Response:
        if name not in _DEPARTMENTS:
            return Response.not_found(request.path)
        return _page(name, self._list([n for n, p in enumerate(self.errand.people) if p.department == name]))

    def _person(self, request: Request, number: str) -> Response:
        if not number.isdigit() or int(number) >= len(self.errand.people):
            return Response.not_found(request.path)
        person, room = self.errand.people[int(number)], self.rooms.get(int(number))
        saved = "<p role=status>The new room was saved.</p>" if room is not None else ""
        facts = {"Department": person.department, "Phone": person.phone, "Room": room or person.room}
        rows = "".join(f"<tr><th>{name}<td>{html.escape(value)}" for name, value in facts.items())
        form = "<form method=post><label>New room <input name=room size=6></label> <button>Save</button></form>"
        return _page(person.name, f"{saved}<table>{rows}</table>{form}")

    def _moved(self, request: Request, number: str) -> Response:
        if number.isdigit() and int(number) < len(self.errand.people):
            self.rooms[int(number)] = request.form.get("room", "").strip()[:20]
        return Response.redirect(f"/person/{number}")

    def _list(self, numbers: list[int]) -> str:
        people = self.errand.people
        return "".join(f'<li><a href="/person/{n}">{html.escape(people[n].name)}</a>' for n in numbers)


def _page(title: str, body: str) -> Response:
    search = '<form action="/search"><input type=search name=q aria-label="Name"> <button>Search</button></form>'
    style = "body{font:16px sans-serif;margin:2em;max-width:40em}th{text-align:left;padding-right:2em}"
    return Response(
        f"<!doctype html><html lang=en><title>{html.escape(title)}</title><style>{style}</style>"
        f'<nav><a href="/">Staff directory</a></nav>{search}<h1>{html.escape(title)}</h1>{body}'
    )
