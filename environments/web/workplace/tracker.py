"""The issue tracker: projects, issues with filters, comments and watched issues."""

from __future__ import annotations

from typing import Any

from arena.environments.web._serving import Request, Response
from arena.environments.web.workplace._content import PRIORITIES, STATUSES, words
from arena.environments.web.workplace._database import DEFAULTS, ME, Database
from arena.environments.web.workplace._site import Site, field, portion

__all__ = ["MILESTONES", "Tracker"]

MILESTONES = ("1.4", "1.5", "2.0")

_ISSUES = """
SELECT issues.*, projects.code || '-' || issues.number AS key, projects.name AS project_name,
    COALESCE(holder.name, '') AS assignee_name, writer.name AS reporter_name,
    (SELECT COUNT(*) FROM comments WHERE issue = issues.id) AS comments
FROM issues JOIN projects ON projects.id = project
    LEFT JOIN people AS holder ON holder.id = assignee JOIN people AS writer ON writer.id = reporter
"""

_FILTERS = ("status", "priority", "label", "milestone", "assignee")
_ORDERS = {
    "number": "issues.project, issues.number",
    "due": "issues.due",
    "priority": "INSTR('UrgentHighMediumLow', priority)",
}


class Tracker(Site):
    """Answers for the issue tracker."""

    name = "Tracker"

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        pages = self.pages
        pages.get("/")(self._projects)
        pages.get("/projects/{code}")(self._project)
        pages.get("/projects/{code}/new")(self._reporting)
        pages.post("/projects/{code}/new")(self._reported)
        pages.get("/issues/{key}")(self._issue)
        pages.get("/issues/{key}/edit")(self._editing)
        pages.post("/issues/{key}/edit")(self._edited)
        pages.post("/issues/{key}/comment")(self._commented)
        pages.post("/issues/{key}/watch")(self._watched)
        pages.get("/mine")(self._mine)
        pages.get("/watched")(self._watched_list)
        pages.get("/search")(self._search)

    def _projects(self, request: Request) -> Response:
        projects = self.database.rows(
            "SELECT *, (SELECT COUNT(*) FROM issues WHERE project = projects.id AND status <> 'Done') AS unfinished "
            "FROM projects ORDER BY name"
        )
        return self.page("projects", "Projects", projects=projects)

    def _project(self, request: Request, code: str) -> Response:
        project = self._project_of(code)
        if project is None:
            return self.missing("project")
        chosen = {name: request.query.get(name, "") for name in _FILTERS}
        order = request.query.get("sort", "number")
        order = order if order in _ORDERS else "number"
        active = {name: value for name, value in chosen.items() if value}
        where = " AND ".join(["project = ?", *(f"issues.{name} = ?" for name in active)])
        found = self.database.rows(
            f"{_ISSUES} WHERE {where} ORDER BY {_ORDERS[order]}", project["id"], *active.values()
        )
        return self.page(
            "project",
            project["name"],
            project=project,
            chosen={**chosen, "sort": order},
            choices=self._choices(),
            issues=portion(request, found),
        )

    def _project_of(self, code: str) -> dict[str, Any] | None:
        found = self.database.rows("SELECT * FROM projects WHERE code = ?", code)
        return found[0] if found else None

    def _choices(self) -> dict[str, Any]:
        return {
            "status": STATUSES,
            "priority": PRIORITIES,
            "label": words()["tracker"]["labels"],
            "milestone": MILESTONES,
            "team": self.team(),
        }

    def team(self) -> list[dict[str, Any]]:
        """Who can be given an issue."""
        return self.database.rows("SELECT id, name FROM people ORDER BY name")

    def _found(self, key: str) -> dict[str, Any] | None:
        found = self.database.rows(f"{_ISSUES} WHERE key = ?", key)
        return found[0] if found else None

    def _issue(self, request: Request, key: str) -> Response:
        issue = self._found(key)
        if issue is None:
            return self.missing("issue")
        comments = self.database.rows(
            "SELECT comments.*, people.name AS by FROM comments JOIN people ON people.id = author WHERE issue = ? "
            "ORDER BY made, comments.id",
            issue["id"],
        )
        watched = self.database.value("SELECT id FROM watches WHERE issue = ?", issue["id"]) is not None
        return self.page("issue", f"{key}: {issue['title']}", issue=issue, comments=comments, watched=watched)

    def _reporting(self, request: Request, code: str) -> Response:
        project = self._project_of(code)
        if project is None:
            return self.missing("project")
        return self._form(f"New issue in {project['name']}", {**DEFAULTS["issues"], "title": ""}, "")

    def _reported(self, request: Request, code: str) -> Response:
        project = self._project_of(code)
        if project is None:
            return self.missing("project")
        values, error = self._read(request)
        if error:
            return self._form(f"New issue in {project['name']}", values, error)
        number = self.database.value("SELECT MAX(number) + 1 FROM issues WHERE project = ?", project["id"])
        made = self.database.now()
        self.database.add("issues", **values, project=project["id"], number=number, reporter=ME, made=made)
        return self.moved(f"/issues/{code}-{number}", "The issue was created.")

    def _editing(self, request: Request, key: str) -> Response:
        issue = self._found(key)
        return self.missing("issue") if issue is None else self._form(f"Edit {key}", issue, "")

    def _edited(self, request: Request, key: str) -> Response:
        issue = self._found(key)
        if issue is None:
            return self.missing("issue")
        values, error = self._read(request)
        if error:
            return self._form(f"Edit {key}", values, error)
        self.database.change("issues", issue["id"], **values)
        return self.moved(f"/issues/{key}", "The issue was saved.")

    def _form(self, title: str, values: dict[str, Any], error: str) -> Response:
        return self.page("form", title, values=values, error=error, choices=self._choices())

    def _read(self, request: Request) -> tuple[dict[str, Any], str]:
        """The fields of the form, and what is wrong with them."""
        names = ("title", "body", "status", "priority", "label", "assignee", "milestone", "hours", "due")
        values: dict[str, Any] = {name: field(request, name) for name in names}
        choices = self._choices()
        known = {name: ("", *choices[name]) for name in ("label", "milestone")}
        known |= {name: choices[name] for name in ("status", "priority")}
        known["assignee"] = ("", *(str(person["id"]) for person in choices["team"]))
        wrong = next((name for name, allowed in known.items() if values[name] not in allowed), None)
        error = f"{values[wrong]!r} is no {wrong}." if wrong else ""
        if not values["hours"].isascii() or not (values["hours"] or "0").isdigit() or len(values["hours"]) > 4:
            error = "Estimated hours are a whole number."
        if not values["title"]:
            error = "An issue needs a title."
        if not error:
            values["assignee"] = int(values["assignee"]) if values["assignee"] else None
            values["hours"] = int(values["hours"]) if values["hours"] else None
        return values, error

    def _commented(self, request: Request, key: str) -> Response:
        issue, body = self._found(key), field(request, "body")
        if issue is None:
            return self.missing("issue")
        if not body:
            return self.moved(f"/issues/{key}", "Nothing was added: a comment needs a text.")
        self.database.add("comments", issue=issue["id"], author=ME, body=body, made=self.database.now())
        return self.moved(f"/issues/{key}", "Your comment was added.")

    def _watched(self, request: Request, key: str) -> Response:
        issue = self._found(key)
        if issue is None:
            return self.missing("issue")
        watch = self.database.value("SELECT id FROM watches WHERE issue = ?", issue["id"])
        if watch is not None:
            self.database.remove("watches", watch)
            return self.moved(f"/issues/{key}", "You no longer watch this issue.")
        self.database.add("watches", issue=issue["id"])
        return self.moved(f"/issues/{key}", "You watch this issue now.")

    def _mine(self, request: Request) -> Response:
        issues = self.database.rows(f"{_ISSUES} WHERE assignee = {ME} AND status <> 'Done' ORDER BY due")
        return self.page("list", "My issues", issues=portion(request, issues))

    def _watched_list(self, request: Request) -> Response:
        issues = self.database.rows(f"{_ISSUES} WHERE issues.id IN (SELECT issue FROM watches) ORDER BY due")
        return self.page("list", "Watched issues", issues=portion(request, issues))

    def _search(self, request: Request) -> Response:
        asked = request.query.get("q", "").casefold().split()
        found = [
            one
            for one in self.database.rows(f"{_ISSUES} ORDER BY issues.project, issues.number")
            if asked and all(word in f"{one['key']} {one['title']} {one['body']}".casefold() for word in asked)
        ]
        return self.page("search", "Search", asked=request.query.get("q", ""), issues=portion(request, found))
