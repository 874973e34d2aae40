"""Tasks in the issue tracker."""

from __future__ import annotations

from urllib.parse import urlencode

from arena.environments.web.workplace._content import PRIORITIES, words
from arena.environments.web.workplace._database import Row
from arena.environments.web.workplace._evaluators import (
    Added,
    Answer,
    At,
    Changes,
    Infeasible,
    Mentions,
    Number,
    Shows,
    Updated,
)
from arena.environments.web.workplace._moves import Move, answer, choose, click, fill, give_up, search
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, Impossible, Make, World
from arena.environments.web.workplace.tracker import MILESTONES

__all__ = ["TRACKER_TASKS", "find_issue", "some_issue"]

_ISSUES = """
SELECT issues.*, code || '-' || number AS key, code, projects.name AS project_name, holder.name AS assignee_name
FROM issues JOIN projects ON projects.id = project LEFT JOIN people AS holder ON holder.id = assignee
"""

NOTES = (
    "I will look at this today.",
    "Fixed on the test server; please check.",
    "This also happens on tablets.",
    "Waiting for an answer from the customer.",
    "The log shows a time-out of the database.",
)


def some_issue(world: World, where: str = "1", *values: object) -> Row:
    """An issue with its key, its project and the name of its assignee."""
    return world.one(f"{_ISSUES} WHERE {where}", *values)


def _issues(world: World, where: str, *values: object) -> list[Row]:
    return world.database.rows(f"{_ISSUES} WHERE {where} ORDER BY project, number", *values)


def find_issue(issue: Row) -> list[Move]:
    """Search for an issue and open it."""
    return [*search("Search issues", issue["key"]), *click(issue["key"])]


def _filter(issue: Row, **chosen: str) -> list[Move]:
    """Open the issue's project with filters, by the names of their lists."""
    moves = click(issue["project_name"])
    for label, option in chosen.items():
        moves += choose(label.replace("_", " ").capitalize(), option)
    return [*moves, *click("Apply")]


def _edit(issue: Row, *changes: Move) -> list[Move]:
    return [*find_issue(issue), *click("Edit issue"), *changes, *click("Save issue")]


def _goal(text: str, *evaluators: object, moves: list[Move]) -> Goal:
    return Goal(text, "Tracker", evaluators, tuple(moves))  # type: ignore[arg-type]


def _assignee(world: World) -> Goal:
    issue = some_issue(world, "assignee IS NOT NULL")
    text = world.say(
        "Who is assigned to the issue “{title}”? Answer with the full name.",
        "Which person has to do “{title}” in the project {project}? Give me the full name only.",
        "Look up the assignee of “{title}” and send me the name.",
        title=issue["title"],
        project=issue["project_name"],
    )
    moves = [*search("Search issues", issue["title"]), *click(issue["key"]), *answer(issue["assignee_name"])]
    return _goal(text, Answer(issue["assignee_name"]), Changes(), moves=moves)


def _count_status(world: World) -> Goal:
    issue = some_issue(world)
    number = len(
        _issues(
            world, "project = ? AND status = ? AND priority = ?", issue["project"], issue["status"], issue["priority"]
        )
    )
    text = world.say(
        "How many issues of the project {project} have the status {status} and the priority {priority}?",
        "Count the issues in {project} with priority {priority} and status {status}. Answer with a number.",
        "In {project}, how many {priority} issues are there whose status is {status}?",
        project=issue["project_name"],
        status=issue["status"],
        priority=issue["priority"],
    )
    moves = [*_filter(issue, status=issue["status"], priority=issue["priority"]), *answer(str(number))]
    return _goal(text, Number(number), Changes(), moves=moves)


def _first_due(world: World) -> Goal:
    issue = some_issue(world)
    first = min(
        _issues(world, "project = ? AND status = ?", issue["project"], issue["status"]), key=lambda one: one["due"]
    )
    text = world.say(
        "Which issue of {project} with the status {status} is due first? Answer with its key, such as ABC-1.",
        "Of all issues in {project} whose status is {status}, tell me the key of the one with the earliest due date.",
        "Find the {status} issue of the project {project} that is due next, and send me its key only.",
        project=issue["project_name"],
        status=issue["status"],
    )
    moves = [*_filter(issue, status=issue["status"], sort_by="Due date"), *answer(first["key"])]
    return _goal(text, Answer(first["key"]), Changes(), moves=moves)


def _sum_hours(world: World) -> Goal:
    issue = some_issue(world, "milestone <> ''")
    chosen = _issues(
        world, "project = ? AND milestone = ? AND status = ?", issue["project"], issue["milestone"], issue["status"]
    )
    if not 2 <= len(chosen) <= 4:
        raise Impossible("too few or too many issues to add up")
    total = sum(one["hours"] for one in chosen)
    text = world.say(
        "How many hours are estimated for the {status} issues of {project} in milestone {milestone}, in total?",
        "Add up the estimated hours of all issues in {project} with milestone {milestone} and status {status}.",
        "What do the estimates for milestone {milestone} of {project} come to, counting only {status} issues? "
        "Answer with the number of hours.",
        project=issue["project_name"],
        milestone=issue["milestone"],
        status=issue["status"],
    )
    filters = _filter(issue, status=issue["status"], milestone=issue["milestone"])
    moves: list[Move] = []
    for one in chosen:
        moves += [*click("Projects"), *filters, *click(one["key"])]
    return _goal(text, Number(total), Changes(), moves=[*moves, *answer(str(total))])


def _list_keys(world: World) -> Goal:
    issue = some_issue(world)
    chosen = _issues(world, "project = ? AND label = ?", issue["project"], issue["label"])
    if not 2 <= len(chosen) <= 6:
        raise Impossible("too few or too many issues to list")
    others = tuple(one["key"] for one in _issues(world, "project = ?", issue["project"]) if one not in chosen)
    keys = tuple(one["key"] for one in chosen)
    text = world.say(
        "List the keys of all issues of {project} with the label {label}.",
        "Which issues in {project} are labelled {label}? Give me their keys.",
        "Send me the keys of every issue of the project {project} that has the label {label}, and no others.",
        project=issue["project_name"],
        label=issue["label"],
    )
    moves = [*_filter(issue, label=issue["label"]), *answer(", ".join(keys))]
    return _goal(text, Mentions(keys, others), Changes(), moves=moves)


def _show_filtered(world: World) -> Goal:
    issue = some_issue(world, "assignee IS NOT NULL")
    text = world.say(
        "Show me the issues of {project} that are assigned to {name} and have the status {status}.",
        "Filter the issues in {project}: assignee {name}, status {status}. Leave the list open.",
        "I want to see which {status} issues {name} has in {project}.",
        project=issue["project_name"],
        name=issue["assignee_name"],
        status=issue["status"],
    )
    query = urlencode({"status": issue["status"], "assignee": issue["assignee"]})
    address = f"{ORIGINS['Tracker']}/projects/{issue['code']}?{query}"
    moves = [*_filter(issue, status=issue["status"], assignee=issue["assignee_name"]), *answer()]
    return _goal(text, At(address), Shows((issue["key"],)), Changes(), moves=moves)


def _new_issue(world: World) -> Goal:
    kinds = words()["tracker"]
    title = f"{world.draw.choice(kinds['parts'])} has a spelling mistake"
    project, person = world.one("SELECT * FROM projects"), world.one("SELECT * FROM people")
    priority, label = world.draw.choice(("Low", "High", "Urgent")), world.draw.choice(kinds["labels"])
    text = world.say(
        "Create an issue in {project}: title “{title}”, priority {priority}, label {label}, assigned to {name}.",
        "Report “{title}” as a new issue of the project {project}. It has the label {label} and the priority "
        "{priority}, and {name} should do it.",
        "{project} needs a new issue for {name}. Title: {title}. Priority: {priority}. Label: {label}",
        project=project["name"],
        title=title,
        priority=priority,
        label=label,
        name=person["name"],
    )
    values = {"project": project["id"], "title": title, "priority": priority, "label": label, "assignee": person["id"]}
    moves = [
        *click(project["name"], "New issue"),
        *fill("Title", title),
        *choose("Priority", priority),
        *choose("Label", label),
        *choose("Assignee", person["name"]),
        *click("Save issue"),
        *answer(),
    ]
    return _goal(text, Changes(Added("issues", values)), moves=moves)


def _finish(world: World) -> Goal:
    issue = some_issue(world, "status <> 'Done'")
    text = world.say(
        "Set the issue {key} to Done.",
        "The issue “{title}” has been dealt with: change its status to Done.",
        "Mark {key} (“{title}”) as Done.",
        key=issue["key"],
        title=issue["title"],
    )
    moves = [*_edit(issue, *choose("Status", "Done")), *answer()]
    return _goal(text, Changes(Updated("issues", issue["id"], {"status": "Done"})), moves=moves)


def _assign(world: World) -> Goal:
    issue = some_issue(world)
    person = world.one("SELECT * FROM people WHERE id IS NOT ?", issue["assignee"])
    text = world.say(
        "Assign the issue “{title}” to {name}.",
        "{name} should take over {key}: make them its assignee.",
        "Change the assignee of {key} to {name}.",
        title=issue["title"],
        key=issue["key"],
        name=person["name"],
    )
    moves = [*_edit(issue, *choose("Assignee", person["name"])), *answer()]
    return _goal(text, Changes(Updated("issues", issue["id"], {"assignee": person["id"]})), moves=moves)


def _comment(world: World) -> Goal:
    issue, note = some_issue(world), world.draw.choice(NOTES)
    text = world.say(
        "Comment on {key}: {note}",
        "Add this comment to the issue “{title}”: {note}",
        "Write “{note}” as a comment on “{title}” in {project}.",
        key=issue["key"],
        title=issue["title"],
        note=note,
        project=issue["project_name"],
    )
    moves = [*find_issue(issue), *fill("Your comment", note), *click("Add comment"), *answer()]
    return _goal(text, Changes(Added("comments", {"issue": issue["id"], "body": note})), moves=moves)


def _hand_over(world: World) -> Goal:
    issue = some_issue(world, "assignee IS NOT NULL AND status <> 'Done'")
    chosen = _issues(world, "assignee = ? AND project = ? AND status <> 'Done'", issue["assignee"], issue["project"])
    if len(chosen) > 3:
        raise Impossible("too many issues to hand over")
    person = world.one("SELECT * FROM people WHERE id <> ?", issue["assignee"])
    text = world.say(
        "Hand all issues of {project} that {name} has and that are not Done over to {other}.",
        "{name} is ill. In {project}, assign everything of theirs that is not Done yet to {other}.",
        "Make {other} the assignee of each unfinished issue (any status but Done) that {name} has in {project}.",
        project=issue["project_name"],
        name=issue["assignee_name"],
        other=person["name"],
    )
    moves = _filter(issue, assignee=issue["assignee_name"])
    for one in chosen:
        moves += _edit(one, *choose("Assignee", person["name"]))
    wanted = [Updated("issues", one["id"], {"assignee": person["id"]}) for one in chosen]
    return _goal(text, Changes(*wanted), moves=[*moves, *answer()])


def _plan(world: World) -> Goal:
    issue = some_issue(world, "status <> 'Done'")
    milestone = world.draw.choice([one for one in MILESTONES if one != issue["milestone"]])
    due = f"2026-0{world.draw.randint(5, 9)}-{world.draw.randint(10, 28)}"
    text = world.say(
        "Move {key} to milestone {milestone}, due on {due}.",
        "Plan “{title}” for milestone {milestone}; its new due date is {due}.",
        "The issue {key} is late. Set its milestone to {milestone} and its due date to {due}.",
        key=issue["key"],
        title=issue["title"],
        milestone=milestone,
        due=due,
    )
    moves = [*_edit(issue, *choose("Milestone", milestone), *fill("Due date", due)), *answer()]
    return _goal(text, Changes(Updated("issues", issue["id"], {"milestone": milestone, "due": due})), moves=moves)


def _raise_priority(world: World) -> Goal:
    issue = some_issue(world, "priority IN ('Low', 'Medium', 'High')")
    higher = PRIORITIES[PRIORITIES.index(issue["priority"]) + 1]
    text = world.say(
        "Raise the priority of “{title}” by one step (Low, Medium, High, Urgent).",
        "Give {key} the next higher priority; the order is Low, Medium, High, Urgent.",
        "The issue “{title}” matters more than we thought: one step up in priority, please.",
        title=issue["title"],
        key=issue["key"],
    )
    moves = [*_edit(issue, *choose("Priority", higher)), *answer()]
    return _goal(text, Changes(Updated("issues", issue["id"], {"priority": higher})), moves=moves)


def _watch(world: World) -> Goal:
    issue = some_issue(world)
    first = min(_issues(world, "project = ?", issue["project"]), key=lambda one: one["due"])
    text = world.say(
        "Watch the issue of {project} that has the earliest due date.",
        "Of all issues in {project}, watch the one that is due first.",
        "I want to follow whatever is due first in {project}, whatever its status: watch that issue.",
        project=issue["project_name"],
    )
    moves = [*_filter(issue, sort_by="Due date"), *click(first["key"], "Watch"), *answer()]
    return _goal(text, Changes(Added("watches", {"issue": first["id"]})), moves=moves)


def _outsider(world: World) -> Goal:
    issue, name = some_issue(world), world.stranger()
    text = world.say(
        "Assign the issue “{title}” to {name}.",
        "Make {name} the assignee of {key}.",
        "{name} should do {key}; assign it.",
        title=issue["title"],
        key=issue["key"],
        name=name,
    )
    moves = [*find_issue(issue), *click("Edit issue"), *give_up(f"{name} is not in the team.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


def _delete(world: World) -> Goal:
    issue = some_issue(world)
    text = world.say(
        "Delete the issue {key}.",
        "Merge the issue {key} into the issue before it.",
        "Remove “{title}” from {project} for good.",
        key=issue["key"],
        title=issue["title"],
        project=issue["project_name"],
    )
    moves = [*find_issue(issue), *click("Edit issue"), *give_up("Issues have no such function.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


def _unknown_key(world: World) -> Goal:
    issue = some_issue(world)
    key = f"{issue['code']}-{world.draw.randint(50, 99)}"
    text = world.say(
        "Set the issue {key} to Done.",
        "Who is assigned to {key}?",
        "Comment on {key}: {note}",
        key=key,
        note=world.draw.choice(NOTES),
    )
    moves = [*search("Search issues", key), *give_up("There is no such issue.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


TRACKER_TASKS: dict[str, Make] = {
    "tracker-assignee": _assignee,
    "tracker-count": _count_status,
    "tracker-first-due": _first_due,
    "tracker-sum-hours": _sum_hours,
    "tracker-list-keys": _list_keys,
    "tracker-show-filtered": _show_filtered,
    "tracker-new-issue": _new_issue,
    "tracker-finish": _finish,
    "tracker-assign": _assign,
    "tracker-comment": _comment,
    "tracker-hand-over": _hand_over,
    "tracker-plan": _plan,
    "tracker-raise-priority": _raise_priority,
    "tracker-watch": _watch,
    "tracker-outsider-infeasible": _outsider,
    "tracker-delete-infeasible": _delete,
    "tracker-unknown-key-infeasible": _unknown_key,
}
