"""Tasks in the issue tracker."""

from __future__ import annotations

from urllib.parse import urlencode

from arena.environments.web.workplace._content import PRIORITIES, words
from arena.environments.web.workplace._database import Row
from arena.environments.web.workplace._evaluators import (
    Added,
    At,
    Changes,
    Evaluator,
    Shows,
    Updated,
)
from arena.environments.web.workplace._finding import all_issues, filter_issues, find_issue, some_issue
from arena.environments.web.workplace._moves import Move, answer, choose, click, fill
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, Impossible, Make, World
from arena.environments.web.workplace.tracker import MILESTONES

__all__ = ["NOTES", "TRACKER_TASKS"]

NOTES = (
    "I will look at this today.",
    "Fixed on the test server; please check.",
    "This also happens on tablets.",
    "Waiting for an answer from the customer.",
    "The log shows a time-out of the database.",
)


def _edit(issue: Row, *changes: Move) -> list[Move]:
    return [*find_issue(issue), *click("Edit issue"), *changes, *click("Save issue")]


def _goal(text: str, *evaluators: Evaluator, moves: list[Move]) -> Goal:
    return Goal(text, "Tracker", evaluators, tuple(moves))


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
    moves = [*filter_issues(issue, status=issue["status"], assignee=issue["assignee_name"]), *answer()]
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
    chosen = all_issues(world, "assignee = ? AND project = ? AND status <> 'Done'", issue["assignee"], issue["project"])
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
    moves = filter_issues(issue, assignee=issue["assignee_name"])
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
    first = min(all_issues(world, "project = ?", issue["project"]), key=lambda one: one["due"])
    text = world.say(
        "Watch the issue of {project} that has the earliest due date.",
        "Of all issues in {project}, watch the one that is due first.",
        "I want to follow whatever is due first in {project}, whatever its status: watch that issue.",
        project=issue["project_name"],
    )
    moves = [*filter_issues(issue, sort_by="Due date"), *click(first["key"], "Watch"), *answer()]
    return _goal(text, Changes(Added("watches", {"issue": first["id"]})), moves=moves)


TRACKER_TASKS: dict[str, Make] = {
    "tracker-show-filtered": _show_filtered,
    "tracker-new-issue": _new_issue,
    "tracker-finish": _finish,
    "tracker-assign": _assign,
    "tracker-comment": _comment,
    "tracker-hand-over": _hand_over,
    "tracker-plan": _plan,
    "tracker-raise-priority": _raise_priority,
    "tracker-watch": _watch,
}
