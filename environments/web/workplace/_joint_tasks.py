"""Tasks that lead from one application to another."""

from __future__ import annotations

from arena.environments.web.workplace._database import ME
from arena.environments.web.workplace._evaluators import Added, Answer, Changes, Updated
from arena.environments.web.workplace._finding import find_issue, find_thread, look_up, sent, some_issue, some_thread
from arena.environments.web.workplace._mail_tasks import MESSAGES
from arena.environments.web.workplace._moves import answer, choose, click, fill, search
from arena.environments.web.workplace._world import Goal, Make, World

__all__ = ["JOINT_TASKS"]


def _write_to_assignee(world: World) -> Goal:
    issue, body = some_issue(world, "assignee <> ?", ME), world.draw.choice(MESSAGES)
    contact = world.one("SELECT * FROM contacts WHERE name = ?", issue["assignee_name"])
    text = world.say(
        "Send a letter to whoever is assigned to {key} in the tracker. Subject: {key}. Text: {body}",
        "Find out who has to do the issue {key} and mail that person “{body}”, with {key} as the subject.",
        "The assignee of {key} should get a letter from me: subject “{key}”, text “{body}”",
        key=issue["key"],
        body=body,
    )
    moves = [
        *find_issue(issue),
        *click("Mail"),
        *look_up(contact),
        *click("Write to this contact"),
        *fill("Subject", issue["key"]),
        *fill("Text", body),
        *click("Send"),
        *answer(),
    ]
    return Goal(text, "Tracker", (Changes(sent(world, contact["email"], issue["key"], body)),), tuple(moves))


def _thread_to_issue(world: World) -> Goal:
    thread, project = some_thread(world), world.one("SELECT * FROM projects")
    text = world.say(
        "Create an issue in the project {project} whose title is “{title}” and whose description is the text of the "
        "forum's thread of that title.",
        "The forum has a thread “{title}”. Make a new issue of it in {project}: the same title, and the thread's first "
        "text as the description.",
        "Copy the thread “{title}” (its title, and as description its opening text) into a new issue of {project}.",
        project=project["name"],
        title=thread["title"],
    )
    moves = [
        *find_thread(thread),
        *click("Tracker", project["name"], "New issue"),
        *fill("Title", thread["title"]),
        *fill("Description", thread["body"]),
        *click("Save issue"),
        *answer(),
    ]
    added = Added("issues", {"project": project["id"], "title": thread["title"], "body": thread["body"]})
    return Goal(text, "Forum", (Changes(added),), tuple(moves))


def _phone_to_thread(world: World) -> Goal:
    thread, contact = some_thread(world), world.one("SELECT * FROM contacts WHERE company <> 'Team'")
    text = world.say(
        "Reply to the forum's thread “{title}” with the phone number of {name} from my address book, and nothing else.",
        "Somebody in “{title}” needs the number of {name} ({company}). Look it up in my contacts and post just the "
        "number as a reply.",
        "Post the phone number of {name}, which is in my contacts, as a reply to “{title}”. Only the number.",
        title=thread["title"],
        name=contact["name"],
        company=contact["company"],
    )
    moves = [
        *look_up(contact),
        *click("Forum"),
        *find_thread(thread),
        *fill("Your reply", contact["phone"]),
        *click("Post reply"),
        *answer(),
    ]
    added = Added("replies", {"thread": thread["id"], "body": contact["phone"]})
    return Goal(text, "Mail", (Changes(added),), tuple(moves))


def _finish_and_tell(world: World) -> Goal:
    issue, thread = some_issue(world, "status <> 'Done' AND milestone <> ''"), some_thread(world)
    remark = f"Fixed in {issue['milestone']}."
    text = world.say(
        "Set {key} to Done, and reply in the forum's thread “{title}” with “Fixed in …”, where … is the milestone of "
        "{key}, and a full stop at the end.",
        "{key} is finished. Mark it as Done, look up its milestone X, and post “Fixed in X.” in the forum's thread "
        "“{title}”.",
        "Change the status of {key} to Done. Then tell the thread “{title}” in the forum: “Fixed in N.”, with the "
        "issue's milestone in place of N.",
        key=issue["key"],
        title=thread["title"],
    )
    moves = [
        *find_issue(issue),
        *click("Edit issue"),
        *choose("Status", "Done"),
        *click("Save issue", "Forum"),
        *find_thread(thread),
        *fill("Your reply", remark),
        *click("Post reply"),
        *answer(),
    ]
    changes = Changes(
        Updated("issues", issue["id"], {"status": "Done"}),
        Added("replies", {"thread": thread["id"], "body": remark}),
    )
    return Goal(text, "Tracker", (changes,), tuple(moves))


def _city_of_assignee(world: World) -> Goal:
    issue = some_issue(world, "assignee IN (SELECT author FROM threads)")
    person = world.one("SELECT * FROM people WHERE id = ?", issue["assignee"])
    thread = some_thread(world, "author = ?", person["id"])
    text = world.say(
        "In which city does the assignee of {key} live, by their profile in the forum?",
        "Find out who is assigned to {key} in the tracker, and which city that person's forum profile names.",
        "Which city is the home of the person who has to do {key}? Their profile in the forum says it. Answer with "
        "the city.",
        key=issue["key"],
    )
    moves = [
        *find_issue(issue),
        *click("Forum"),
        *find_thread(thread),
        *click(person["name"]),
        *answer(person["city"]),
    ]
    return Goal(text, "Tracker", (Answer(person["city"]), Changes()), tuple(moves))


def _letter_to_issue(world: World) -> Goal:
    letter = world.one("SELECT * FROM mails WHERE subject LIKE 'Meeting about %'")
    project = world.one("SELECT * FROM projects")
    priority = world.draw.choice(("High", "Urgent"))
    text = world.say(
        "Create an issue in {project} with the subject of the invitation to the meeting about {topic} as its title and "
        "the priority {priority}, and archive that letter.",
        "My inbox has an invitation to a meeting about {topic}. Open an issue for it in {project} (title: the letter's "
        "subject; priority: {priority}) and move the letter to Archive.",
        "Somebody invited me to a meeting about {topic}. Turn that letter into an issue of {project} (its subject is "
        "the title, the priority is {priority}) and file it in the archive.",
        project=project["name"],
        topic=letter["subject"].removeprefix("Meeting about "),
        priority=priority,
    )
    moves = [
        *search("Search mail", letter["subject"]),
        *click(letter["subject"]),
        *choose("Move to", "Archive"),
        *click("Move", "Tracker", project["name"], "New issue"),
        *fill("Title", letter["subject"]),
        *choose("Priority", priority),
        *click("Save issue"),
        *answer(),
    ]
    changes = Changes(
        Added("issues", {"project": project["id"], "title": letter["subject"], "priority": priority}),
        Updated("mails", letter["id"], {"folder": "Archive"}),
    )
    return Goal(text, "Mail", (changes,), tuple(moves))


def _write_to_member(world: World) -> Goal:
    thread = some_thread(world, "author <> ?", ME)
    contact = world.one("SELECT * FROM contacts WHERE name = ?", thread["by"])
    text = world.say(
        "Write to the person who started the forum's thread “{title}”. Subject: the thread's title. Text: Let us talk.",
        "Send the author of “{title}” in the forum a letter that says “Let us talk.”; its subject is the title of "
        "the thread.",
        "I want to get in touch with whoever began “{title}”: mail them “Let us talk.” with that title as the subject.",
        title=thread["title"],
    )
    moves = [
        *find_thread(thread),
        *click("Mail"),
        *look_up(contact),
        *click("Write to this contact"),
        *fill("Subject", thread["title"]),
        *fill("Text", "Let us talk."),
        *click("Send"),
        *answer(),
    ]
    return Goal(text, "Forum", (Changes(sent(world, contact["email"], thread["title"], "Let us talk.")),), tuple(moves))


JOINT_TASKS: dict[str, Make] = {
    "joint-write-to-assignee": _write_to_assignee,
    "joint-thread-to-issue": _thread_to_issue,
    "joint-phone-to-thread": _phone_to_thread,
    "joint-finish-and-tell": _finish_and_tell,
    "joint-city-of-assignee": _city_of_assignee,
    "joint-letter-to-issue": _letter_to_issue,
    "joint-write-to-member": _write_to_member,
}
