"""Questions, whose answer stands somewhere in one of the applications, where nothing is to be changed."""

from __future__ import annotations

import re

from arena.environments.web.workplace._database import ME, Row
from arena.environments.web.workplace._evaluators import Answer, Changes, Evaluator, Mentions, Number
from arena.environments.web.workplace._finding import (
    LETTERS,
    REPLIES,
    THREADS,
    all_issues,
    browse_forum,
    browse_inbox,
    filter_issues,
    find_letter,
    find_thread,
    look_up,
    some_issue,
    some_thread,
)
from arena.environments.web.workplace._moves import Move, answer, choose, click, search
from arena.environments.web.workplace._world import Goal, Impossible, Make, World

__all__ = ["QUESTION_TASKS"]


def _asked(text: str, start: str, right: Evaluator, moves: list[Move]) -> Goal:
    """A goal that is reached by the right answer, with everything left as it was."""
    return Goal(text, start, (right, Changes()), tuple(moves))


def _count_replies(world: World) -> Goal:
    reply = world.one(f"{REPLIES} WHERE thread IN (SELECT thread FROM replies GROUP BY thread HAVING COUNT(*) > 5)")
    thread = some_thread(world, "threads.id = ?", reply["thread"])
    number = world.database.value(
        "SELECT COUNT(*) FROM replies WHERE thread = ? AND author = ?", thread["id"], reply["author"]
    )
    text = world.say(
        "How many replies did {by} write in the thread “{title}”? Answer with a number.",
        "In the discussion “{title}”, count the replies of {by} and tell me how many there are.",
        "Tell me the number of replies by {by} to “{title}”.",
        by=reply["by"],
        title=thread["title"],
    )
    moves = [
        *browse_forum(world, thread),
        *click(*["Next page"] * ((thread["replies"] - 1) // 5)),
        *answer(str(number)),
    ]
    return _asked(text, "Forum", Number(number), moves)


def _last_replier(world: World) -> Goal:
    thread = some_thread(world, "replies > 5")
    last = world.database.rows(f"{REPLIES} WHERE thread = ? ORDER BY made DESC, replies.id DESC", thread["id"])[0]
    text = world.say(
        "Who wrote the last reply in the thread “{title}”? Answer with the full name.",
        "Give me the full name of the person who replied last to “{title}”, and nothing else.",
        "Look up who had the last word in “{title}” and send me just their full name.",
        title=thread["title"],
    )
    return _asked(text, "Forum", Answer(last["by"]), [*find_thread(thread), *click("Next page"), *answer(last["by"])])


def _most_votes(world: World) -> Goal:
    tops: dict[int, list[Row]] = {}
    for one in world.database.rows(f"{THREADS} ORDER BY board"):
        best = tops.setdefault(one["board"], [])
        if not best or one["votes"] >= best[0]["votes"]:
            tops[one["board"]] = [one, *(other for other in best if other["votes"] == one["votes"])]
    alone = [best[0] for best in tops.values() if len(best) == 1]
    if not alone:
        raise Impossible("two threads have the most votes on every board")
    thread = world.draw.choice(alone)
    text = world.say(
        "Which thread on the board {board} has the most votes? Answer with its title.",
        "Tell me the title of the thread with the most votes in {board}, nothing else.",
        "On {board}, find the discussion that got the most votes and send me its exact title.",
        board=thread["board_name"],
    )
    moves = [*click(thread["board_name"]), *choose("Sort by", "Most votes"), *click("Sort"), *answer(thread["title"])]
    return _asked(text, "Forum", Answer(thread["title"]), moves)


def _author_city(world: World) -> Goal:
    thread = some_thread(world, "author <> ?", ME)
    city = world.database.value("SELECT city FROM people WHERE id = ?", thread["author"])
    text = world.say(
        "In which city does the person live who started the thread “{title}”?",
        "Somebody started “{title}”. Which city does their profile name? Answer with the city.",
        "Find out where the author of “{title}” lives and tell me the city.",
        title=thread["title"],
    )
    return _asked(text, "Forum", Answer(city), [*browse_forum(world, thread), *click(thread["by"]), *answer(city)])


def _count_threads(world: World) -> Goal:
    thread = some_thread(world, "author <> ?", ME)
    number = world.database.value(
        "SELECT COUNT(*) FROM threads WHERE author = ? AND board = ?", thread["author"], thread["board"]
    )
    text = world.say(
        "How many threads did {by} start on the board {board}? Answer with a number.",
        "Count the threads on {board} that were started by {by}.",
        "Tell me how many of the discussions in {board} are by {by}.",
        by=thread["by"],
        board=thread["board_name"],
    )
    moves = [*click(thread["board_name"], "Next page"), *answer(str(number))]
    return _asked(text, "Forum", Number(number), moves)


def _amount(letter: Row) -> float:
    found = re.search(r"due is ([\d,.]+) EUR", letter["body"])
    assert found is not None
    return float(found[1].replace(",", ""))


def _invoice_amount(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE subject LIKE 'Invoice %'")
    number = letter["subject"].split()[1]
    text = world.say(
        "What amount is due on invoice {number} from {company}? Answer with the number.",
        "How much do I owe {company} for invoice {number}, in euros?",
        "Look up invoice {number} in my mail and tell me the amount, as a number only.",
        number=number,
        company=letter["company"],
    )
    amount = _amount(letter)
    return _asked(text, "Mail", Number(amount), [*find_letter(letter), *answer(f"{amount:.2f}")])


def _invoice_total(world: World) -> Goal:
    several = "(SELECT COUNT(*) FROM mails AS m WHERE m.sender = mails.sender AND m.subject LIKE 'Invoice %') = 2"
    letter = world.one(f"{LETTERS} WHERE subject LIKE 'Invoice %' AND {several}")
    both = world.database.rows(f"{LETTERS} WHERE subject LIKE 'Invoice %' AND sender = ?", letter["sender"])
    total = round(sum(_amount(one) for one in both), 2)
    text = world.say(
        "{company} sent me several invoices. What do they come to altogether? Answer with the number.",
        "Add up all invoices from {company} in my inbox and tell me the total in euros.",
        "How much is due to {company} in total, over all of its invoices?",
        company=letter["company"],
    )
    moves = [*find_letter(both[0]), *find_letter(both[1]), *answer(f"{total:.2f}")]
    return _asked(text, "Mail", Number(total), moves)


def _booking_code(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE subject LIKE 'Your stay in %'")
    code = letter["body"].rpartition(" ")[2]
    text = world.say(
        "What is the booking code of my stay in {city}?",
        "I booked a room in {city}. Send me the booking code, nothing else.",
        "Find the code of my hotel booking in {city} in my letters.",
        city=letter["subject"].removeprefix("Your stay in "),
    )
    return _asked(text, "Mail", Answer(code), [*browse_inbox(world, letter), *answer(code)])


def _count_letters(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE folder = 'Inbox'")
    number = world.database.value("SELECT COUNT(*) FROM mails WHERE folder = 'Inbox' AND sender = ?", letter["sender"])
    text = world.say(
        "How many letters from {name} are in my inbox? Answer with a number.",
        "Count the letters in the inbox that {name} sent me.",
        "Tell me how many letters I have in the inbox from {name}.",
        name=letter["name"],
    )
    moves = [*search("Search mail", letter["sender"]), *answer(str(number))]
    return _asked(text, "Mail", Number(number), moves)


def _phone(world: World) -> Goal:
    contact = world.one("SELECT * FROM contacts")
    text = world.say(
        "What is the phone number of {name}?",
        "I want to call {name}. Send me the number from the address book, nothing else.",
        "Look up {name} of {company} in my contacts and tell me the phone number.",
        name=contact["name"],
        company=contact["company"],
    )
    return _asked(text, "Mail", Answer(contact["phone"]), [*look_up(contact), *answer(contact["phone"])])


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
    return _asked(text, "Tracker", Answer(issue["assignee_name"]), moves)


def _count_status(world: World) -> Goal:
    issue = some_issue(world)
    number = len(
        all_issues(
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
    moves = [*filter_issues(issue, status=issue["status"], priority=issue["priority"]), *answer(str(number))]
    return _asked(text, "Tracker", Number(number), moves)


def _first_due(world: World) -> Goal:
    issue = some_issue(world)
    first = min(
        all_issues(world, "project = ? AND status = ?", issue["project"], issue["status"]), key=lambda one: one["due"]
    )
    text = world.say(
        "Which issue of {project} with the status {status} is due first? Answer with its key, such as ABC-1.",
        "Of all issues in {project} whose status is {status}, tell me the key of the one with the earliest due date.",
        "Find the {status} issue of the project {project} that is due next, and send me its key only.",
        project=issue["project_name"],
        status=issue["status"],
    )
    moves = [*filter_issues(issue, status=issue["status"], sort_by="Due date"), *answer(first["key"])]
    return _asked(text, "Tracker", Answer(first["key"]), moves)


def _sum_hours(world: World) -> Goal:
    issue = some_issue(world, "milestone <> ''")
    chosen = all_issues(
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
    filters = filter_issues(issue, status=issue["status"], milestone=issue["milestone"])
    moves: list[Move] = []
    for one in chosen:
        moves += [*click("Projects"), *filters, *click(one["key"])]
    return _asked(text, "Tracker", Number(total), [*moves, *answer(str(total))])


def _list_keys(world: World) -> Goal:
    issue = some_issue(world)
    chosen = all_issues(world, "project = ? AND label = ?", issue["project"], issue["label"])
    if not 2 <= len(chosen) <= 6:
        raise Impossible("too few or too many issues to list")
    others = tuple(one["key"] for one in all_issues(world, "project = ?", issue["project"]) if one not in chosen)
    keys = tuple(one["key"] for one in chosen)
    text = world.say(
        "List the keys of all issues of {project} with the label {label}.",
        "Which issues in {project} are labelled {label}? Give me their keys.",
        "Send me the keys of every issue of the project {project} that has the label {label}, and no others.",
        project=issue["project_name"],
        label=issue["label"],
    )
    moves = [*filter_issues(issue, label=issue["label"]), *answer(", ".join(keys))]
    return _asked(text, "Tracker", Mentions(keys, others), moves)


QUESTION_TASKS: dict[str, Make] = {
    "forum-count-replies": _count_replies,
    "mail-invoice-amount": _invoice_amount,
    "tracker-assignee": _assignee,
    "forum-last-replier": _last_replier,
    "mail-invoice-total": _invoice_total,
    "tracker-count": _count_status,
    "forum-most-votes": _most_votes,
    "mail-booking-code": _booking_code,
    "tracker-first-due": _first_due,
    "forum-author-city": _author_city,
    "mail-count-letters": _count_letters,
    "tracker-sum-hours": _sum_hours,
    "forum-count-threads": _count_threads,
    "mail-phone": _phone,
    "tracker-list-keys": _list_keys,
}
