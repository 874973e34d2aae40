"""The forum: boards, threads, replies, votes, bookmarks and profiles."""

from __future__ import annotations

from typing import Any

from arena.environments.web._serving import Request, Response
from arena.environments.web.workplace._database import ME, Database
from arena.environments.web.workplace._site import Site, field, portion

__all__ = ["Forum"]

_ORDERS = {
    "newest": "threads.made DESC",
    "replies": "replies DESC, threads.made DESC",
    "votes": "votes DESC, threads.made DESC",
}

_THREADS = """
SELECT threads.*, people.name AS by, boards.name AS board_name,
    (SELECT COUNT(*) FROM replies WHERE thread = threads.id) AS replies,
    (SELECT COUNT(*) FROM votes WHERE thread = threads.id) AS votes
FROM threads JOIN people ON people.id = author JOIN boards ON boards.id = board
"""


class Forum(Site):
    """Answers for the forum."""

    name = "Forum"

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        pages = self.pages
        pages.get("/")(self._boards)
        pages.get("/boards/{number}")(self._board)
        pages.get("/boards/{number}/new")(self._writing)
        pages.post("/boards/{number}/new")(self._written)
        pages.get("/threads/{number}")(self._thread)
        pages.post("/threads/{number}/reply")(self._reply)
        pages.post("/threads/{number}/vote")(self._vote)
        pages.post("/threads/{number}/bookmark")(self._bookmark)
        pages.get("/replies/{number}")(self._editing)
        pages.post("/replies/{number}")(self._edited)
        pages.post("/replies/{number}/delete")(self._deleted)
        pages.get("/search")(self._search)
        pages.get("/bookmarks")(self._bookmarks)
        pages.get("/people/{number}")(self._person)
        pages.get("/profile")(self._profile)
        pages.post("/profile")(self._profiled)

    def _boards(self, request: Request) -> Response:
        boards = self.database.rows(
            "SELECT *, (SELECT COUNT(*) FROM threads WHERE board = boards.id) AS threads FROM boards ORDER BY name"
        )
        return self.page("boards", "Boards", boards=boards)

    def _board(self, request: Request, number: str) -> Response:
        board = self.database.row("boards", number)
        if board is None:
            return self.missing("board")
        order = request.query.get("sort", "newest")
        order = order if order in _ORDERS else "newest"
        threads = self.database.rows(f"{_THREADS} WHERE board = ? ORDER BY {_ORDERS[order]}", board["id"])
        return self.page("board", board["name"], board=board, order=order, threads=portion(request, threads))

    def _writing(self, request: Request, number: str) -> Response:
        board = self.database.row("boards", number)
        return self.missing("board") if board is None else self._form(board, "", "", "")

    def _written(self, request: Request, number: str) -> Response:
        board = self.database.row("boards", number)
        if board is None:
            return self.missing("board")
        title, body = field(request, "title"), field(request, "body")
        if not title or not body:
            return self._form(board, title, body, "A thread needs a title and a text.")
        made = self.database.now()
        thread = self.database.add("threads", board=board["id"], author=ME, title=title, body=body, made=made)
        return self.moved(f"/threads/{thread}", "Your thread was posted.")

    def _form(self, board: dict[str, Any], heading: str, body: str, error: str) -> Response:
        return self.page("new", f"New thread in {board['name']}", board=board, heading=heading, body=body, error=error)

    def _thread(self, request: Request, number: str) -> Response:
        if self.database.row("threads", number) is None:
            return self.missing("thread")
        found = self.database.rows(f"{_THREADS} WHERE threads.id = ?", int(number))
        replies = self.database.rows(
            "SELECT replies.*, people.name AS by FROM replies JOIN people ON people.id = author WHERE thread = ? "
            "ORDER BY made, replies.id",
            int(number),
        )
        return self.page(
            "thread",
            found[0]["title"],
            thread=found[0],
            replies=portion(request, [{**reply, "place": place} for place, reply in enumerate(replies, 1)], 5),
            voted=self._own("votes", int(number)) is not None,
            marked=self._own("bookmarks", int(number)) is not None,
        )

    def _reply(self, request: Request, number: str) -> Response:
        thread, body = self.database.row("threads", number), field(request, "body")
        if thread is None:
            return self.missing("thread")
        if not body:
            return self.moved(f"/threads/{number}", "Nothing was posted: a reply needs a text.")
        self.database.add("replies", thread=thread["id"], author=ME, body=body, made=self.database.now())
        last = -(-self.database.value("SELECT COUNT(*) FROM replies WHERE thread = ?", thread["id"]) // 5)
        return self.moved(f"/threads/{number}?page={last}", "Your reply was posted.")

    def _vote(self, request: Request, number: str) -> Response:
        return self._switched("votes", number, "You voted for this thread.", "Your vote was taken back.")

    def _bookmark(self, request: Request, number: str) -> Response:
        return self._switched("bookmarks", number, "The thread was bookmarked.", "The bookmark was removed.")

    def _switched(self, table: str, number: str, on: str, off: str) -> Response:
        if self.database.row("threads", number) is None:
            return self.missing("thread")
        there = self._own(table, int(number))
        if there is not None:
            self.database.remove(table, there)
        else:
            self.database.add(table, thread=int(number), **({"person": ME} if table == "votes" else {}))
        return self.moved(f"/threads/{number}", off if there is not None else on)

    def _own(self, table: str, thread: int) -> int | None:
        """My vote for a thread, or my bookmark of it."""
        mine = f" AND person = {ME}" if table == "votes" else ""
        found: int | None = self.database.value(f"SELECT id FROM {table} WHERE thread = ?{mine}", thread)
        return found

    def _mine(self, number: str) -> dict[str, Any] | None:
        reply = self.database.row("replies", number)
        return reply if reply is not None and reply["author"] == ME else None

    def _editing(self, request: Request, number: str) -> Response:
        reply = self._mine(number)
        return self.missing("reply of yours") if reply is None else self.page("edit", "Edit reply", reply=reply)

    def _edited(self, request: Request, number: str) -> Response:
        reply, body = self._mine(number), field(request, "body")
        if reply is None:
            return self.missing("reply of yours")
        if not body:
            return self.moved(f"/replies/{number}", "Nothing was saved: a reply needs a text.")
        self.database.change("replies", reply["id"], body=body)
        return self.moved(f"/threads/{reply['thread']}", "Your reply was changed.")

    def _deleted(self, request: Request, number: str) -> Response:
        reply = self._mine(number)
        if reply is None:
            return self.missing("reply of yours")
        self.database.remove("replies", reply["id"])
        return self.moved(f"/threads/{reply['thread']}", "Your reply was deleted.")

    def _search(self, request: Request) -> Response:
        words = request.query.get("q", "").casefold().split()
        threads = self.database.rows(f"{_THREADS} ORDER BY threads.made DESC")
        found = [
            one for one in threads if words and all(w in f"{one['title']} {one['body']}".casefold() for w in words)
        ]
        return self.page("search", "Search", asked=request.query.get("q", ""), threads=portion(request, found))

    def _bookmarks(self, request: Request) -> Response:
        threads = self.database.rows(
            f"{_THREADS} WHERE threads.id IN (SELECT thread FROM bookmarks) ORDER BY threads.made DESC"
        )
        return self.page("bookmarks", "Bookmarks", threads=portion(request, threads))

    def _person(self, request: Request, number: str) -> Response:
        person = self.database.row("people", number)
        if person is None:
            return self.missing("member")
        threads = self.database.rows(f"{_THREADS} WHERE author = ? ORDER BY threads.made DESC", person["id"])
        return self.page("person", person["name"], person=person, threads=portion(request, threads))

    def _profile(self, request: Request) -> Response:
        return self.page("profile", "My profile")

    def _profiled(self, request: Request) -> Response:
        self.database.change("people", ME, city=field(request, "city"), bio=field(request, "bio"))
        return self.moved("/profile", "Your profile was saved.")
