"""Tasks that cannot be done: what is asked for is not there, or is not for the agent to do."""

from __future__ import annotations

from arena.environments.web.workplace._content import words
from arena.environments.web.workplace._database import ME
from arena.environments.web.workplace._evaluators import Changes, Infeasible
from arena.environments.web.workplace._finding import REPLIES, find_issue, find_thread, some_issue, some_thread
from arena.environments.web.workplace._moves import Move, click, fill, give_up, search
from arena.environments.web.workplace._tracker_tasks import NOTES
from arena.environments.web.workplace._world import Goal, Make, World

__all__ = ["INFEASIBLE_TASKS"]


def _refused(text: str, start: str, moves: list[Move]) -> Goal:
    """A goal that is reached by saying that it cannot be, and by changing nothing."""
    return Goal(text, start, (Infeasible(), Changes()), tuple(moves))


def _lock(world: World) -> Goal:
    thread = some_thread(world)
    text = world.say(
        "Lock the thread “{title}” so that nobody can reply any more.",
        "Close “{title}” for further replies.",
        "Pin the discussion “{title}” to the top of its board.",
        title=thread["title"],
    )
    moves = [*find_thread(thread), *give_up("Threads have no such function.")]
    return _refused(text, "Forum", moves)


def _missing_thread(world: World) -> Goal:
    titles = {row["title"] for row in world.database.rows("SELECT title FROM threads")}
    board = world.draw.choice(words()["boards"])
    possible = [title.format(thing=thing) for title in board["titles"] for thing in board["things"]]
    title = world.draw.choice([one for one in possible if one not in titles])
    text = world.say(
        "Vote for the thread “{title}”.",
        "Bookmark the discussion “{title}” on the board {board}.",
        "Who started the thread “{title}”?",
        title=title,
        board=board["name"],
    )
    moves = [*search("Search the forum", title), *give_up("There is no such thread.")]
    return _refused(text, "Forum", moves)


def _foreign_reply(world: World) -> Goal:
    reply = world.one(f"{REPLIES} WHERE author <> ?", ME)
    thread = some_thread(world, "threads.id = ?", reply["thread"])
    text = world.say(
        "Delete the reply “{body}” by {by} in the thread “{title}”.",
        "In “{title}”, {by} wrote “{body}” Change that to “I was wrong.”",
        "Remove what {by} said in “{title}”: “{body}”",
        body=reply["body"],
        by=reply["by"],
        title=thread["title"],
    )
    moves = [*find_thread(thread), *give_up("Only replies of one's own can be changed.")]
    return _refused(text, "Forum", moves)


def _unknown_person(world: World) -> Goal:
    name = world.stranger()
    text = world.say(
        "What is the phone number of {name}?",
        "Send {name} a letter with the subject “Hello” and the text “See you soon.”",
        "Forward the newest letter in my inbox to {name}.",
        name=name,
    )
    moves = [*click("Contacts"), *fill("Search contacts", name), *click("Find"), *give_up("Nobody has this name.")]
    return _refused(text, "Mail", moves)


def _later(world: World) -> Goal:
    draft = world.one(
        "SELECT mails.*, name FROM mails JOIN contacts ON contacts.email = recipient WHERE folder = 'Drafts'"
    )
    text = world.say(
        "Schedule the draft to {name} to be sent tomorrow at 9:00.",
        "Encrypt the draft for {name} and send it.",
        "Attach the file report.pdf to my draft for {name}, and send it.",
        name=draft["name"],
    )
    moves = [*click("Drafts", draft["subject"], "Edit draft"), *give_up("Letters have no such function.")]
    return _refused(text, "Mail", moves)


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
    return _refused(text, "Tracker", moves)


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
    return _refused(text, "Tracker", moves)


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
    return _refused(text, "Tracker", moves)


def _unassigned(world: World) -> Goal:
    issue = some_issue(world, "assignee IS NULL")
    text = world.say(
        "Send a letter to whoever is assigned to {key} in the tracker. Subject: {key}. Text: {body}",
        "Find out who has to do the issue {key} and mail that person “{body}”, with {key} as the subject.",
        "The assignee of {key} should get a letter from me: subject “{key}”, text “{body}”",
        key=issue["key"],
        body=world.draw.choice(words()["tracker"]["comments"]),
    )
    moves = [*click("Tracker"), *find_issue(issue), *give_up("Nobody is assigned to it.")]
    return _refused(text, "Mail", moves)


INFEASIBLE_TASKS: dict[str, Make] = {
    "forum-lock-infeasible": _lock,
    "forum-missing-infeasible": _missing_thread,
    "forum-foreign-reply-infeasible": _foreign_reply,
    "mail-unknown-person-infeasible": _unknown_person,
    "mail-schedule-infeasible": _later,
    "tracker-outsider-infeasible": _outsider,
    "tracker-delete-infeasible": _delete,
    "tracker-unknown-key-infeasible": _unknown_key,
    "joint-unassigned-infeasible": _unassigned,
}
