"""Tasks in the mail client."""

from __future__ import annotations

from arena.environments.web.workplace._content import words
from arena.environments.web.workplace._evaluators import (
    Added,
    At,
    Changes,
    Evaluator,
    Holding,
    Shows,
    Updated,
)
from arena.environments.web.workplace._finding import ALONE, LETTERS, browse_inbox, find_letter, look_up, sent
from arena.environments.web.workplace._moves import Move, answer, choose, click, fill, search, tick
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, Make, World

__all__ = ["MAIL_TASKS", "MESSAGES"]

MESSAGES = (
    "Can we move this to next week?",
    "Thank you, that suits me well.",
    "I have two questions about this. Can you call me?",
    "Please send me the details by Friday.",
    "Good news: everything is ready.",
)


def _goal(text: str, *evaluators: Evaluator, moves: list[Move]) -> Goal:
    return Goal(text, "Mail", evaluators, tuple(moves))


def _open_letter(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE folder = 'Inbox' AND {ALONE}")
    text = world.say(
        "Open the letter “{subject}” from {name}.",
        "Bring up {name}'s letter with the subject “{subject}”.",
        "I want to read “{subject}”, which {name} sent me. Leave it open.",
        subject=letter["subject"],
        name=letter["name"],
    )
    evaluators = (At(f"{ORIGINS['Mail']}/letters/{letter['id']}"), Shows((letter["body"],)), Changes())
    return _goal(text, *evaluators, moves=[*browse_inbox(world, letter), *answer()])


def _send(world: World) -> Goal:
    contact, body = world.one("SELECT * FROM contacts"), world.draw.choice(MESSAGES)
    subject = world.say(
        "About {topic}", "Plans for {topic}", "{topic}", topic=world.draw.choice(words()["mail"]["topics"])
    )
    text = world.say(
        "Send {name} a letter with the subject “{subject}” and the text “{body}”",
        "Write to {name}. Subject: {subject}. Text: {body}",
        "Mail “{body}” to {name}; the subject is “{subject}”.",
        name=contact["name"],
        subject=subject,
        body=body,
    )
    moves = [
        *look_up(contact),
        *click("Write to this contact"),
        *fill("Subject", subject),
        *fill("Text", body),
        *click("Send"),
        *answer(),
    ]
    return _goal(text, Changes(sent(world, contact["email"], subject, body)), moves=moves)


def _reply(world: World) -> Goal:
    letter, body = world.one(f"{LETTERS} WHERE folder = 'Inbox' AND {ALONE}"), world.draw.choice(MESSAGES)
    text = world.say(
        "Reply to {name}'s letter “{subject}” with: {body}",
        "Answer the letter “{subject}” from {name}; leave the subject as it is, and write: {body}",
        "{name} wrote to me about “{subject}”. Reply to it: {body}",
        name=letter["name"],
        subject=letter["subject"],
        body=body,
    )
    moves = [*find_letter(letter), *click("Reply"), *fill("Text", body), *click("Send"), *answer()]
    wanted = sent(world, letter["sender"], f"Re: {letter['subject']}", body, letter["id"])
    return _goal(text, Changes(wanted), moves=moves)


def _forward(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE folder = 'Inbox' AND {ALONE}")
    contact = world.one("SELECT * FROM contacts WHERE email <> ?", letter["sender"])
    text = world.say(
        "Forward the letter “{subject}” to {name}.",
        "{name} should see “{subject}” too: forward it.",
        "Pass {sender}'s letter “{subject}” on to {name}.",
        subject=letter["subject"],
        name=contact["name"],
        sender=letter["name"],
    )
    moves = [*look_up(contact), *find_letter(letter), *click("Forward"), *fill("To", contact["email"])]
    wanted = sent(world, contact["email"], f"Fwd: {letter['subject']}", Holding(letter["body"]))
    return _goal(text, Changes(wanted), moves=[*moves, *click("Send"), *answer()])


def _archive(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE folder = 'Inbox' AND {ALONE}")
    text = world.say(
        "Move the letter “{subject}” to the archive.",
        "Archive “{subject}” from {name}.",
        "I am done with “{subject}”; file it in Archive.",
        subject=letter["subject"],
        name=letter["name"],
    )
    moves = [*browse_inbox(world, letter), *choose("Move to", "Archive"), *click("Move"), *answer()]
    return _goal(text, Changes(Updated("mails", letter["id"], {"folder": "Archive"})), moves=moves)


def _bin_news(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE subject LIKE company || ':%'")
    news = world.database.rows(f"{LETTERS} WHERE sender = ? AND subject LIKE company || ':%'", letter["sender"])
    text = world.say(
        "Move all newsletters from {company} to the bin, and nothing else.",
        "I no longer want the newsletters of {company}: put every one of them into the bin.",
        "The newsletters of {company} (their subjects begin with the company's name) belong into the bin, all of them.",
        company=letter["company"],
    )
    moves: list[Move] = []
    for one in news:
        moves += [*find_letter(one), *choose("Move to", "Bin"), *click("Move")]
    wanted = [Updated("mails", one["id"], {"folder": "Bin"}) for one in news]
    return _goal(text, Changes(*wanted), moves=[*moves, *answer()])


def _star(world: World) -> Goal:
    letter = world.one(f"{LETTERS} WHERE folder = 'Inbox' AND NOT starred AND {ALONE}")
    text = world.say(
        "Star the letter “{subject}”.",
        "Put a star on “{subject}” from {name}.",
        "Mark {name}'s letter “{subject}” with a star.",
        subject=letter["subject"],
        name=letter["name"],
    )
    moves = [*browse_inbox(world, letter), *click("Star"), *answer()]
    return _goal(text, Changes(Updated("mails", letter["id"], {"starred": 1})), moves=moves)


def _label_stays(world: World) -> Goal:
    stays = world.database.rows(f"{LETTERS} WHERE subject LIKE 'Your stay in %' ORDER BY made DESC")
    label = world.draw.choice(words()["mail"]["labels"])
    text = world.say(
        "Give the label {label} to every letter that confirms a stay in a city.",
        "Label all hotel bookings in my inbox (“Your stay in …”) as {label}.",
        "All letters about my stays in hotels should have the label {label}.",
        label=label,
    )
    moves: list[Move] = []
    for one in stays:
        moves += [*search("Search mail", "stay"), *click(one["subject"]), *choose("Label", label), *click("Set label")]
    wanted = [Updated("mails", one["id"], {"label": label}) for one in stays]
    return _goal(text, Changes(*wanted), moves=[*moves, *answer()])


def _add_contact(world: World) -> Goal:
    name, company = world.stranger(), world.draw.choice(words()["companies"])
    email = f"{name.split()[0].lower()}@{world.draw.choice(('post', 'letters', 'office'))}.test"
    phone = f"+44 20 {world.draw.randint(7000, 7999)} {world.draw.randint(1000, 9999)}"
    text = world.say(
        "Add {name} of {company} to my contacts: {email}, phone {phone}.",
        "Make a new contact. Name: {name}. E-mail: {email}. Phone: {phone}. Company: {company}",
        "{name} works for {company} and can be reached at {email} and {phone}. Put that into my address book.",
        name=name,
        company=company,
        email=email,
        phone=phone,
    )
    values = {"name": name, "email": email, "phone": phone, "company": company}
    labels = {"Name": name, "E-mail": email, "Phone": phone, "Company": company}
    moves = click("Contacts", "New contact")
    for label, value in labels.items():
        moves += fill(label, value)
    return _goal(text, Changes(Added("contacts", values)), moves=[*moves, *click("Save contact"), *answer()])


def _new_phone(world: World) -> Goal:
    contact = world.one("SELECT * FROM contacts")
    phone = f"+44 20 {world.draw.randint(8000, 8999)} {world.draw.randint(1000, 9999)}"
    text = world.say(
        "{name} has a new phone number: {phone}. Change it in my contacts.",
        "Update the address book: {name} can now be called at {phone}.",
        "In my contacts, replace the phone number of {name} by {phone}.",
        name=contact["name"],
        phone=phone,
    )
    moves = [*look_up(contact), *fill("Phone", phone), *click("Save contact"), *answer()]
    return _goal(text, Changes(Updated("contacts", contact["id"], {"phone": phone})), moves=moves)


def _away(world: World) -> Goal:
    day = world.draw.randint(12, 30)
    notice = world.say(
        "I am away until 2026-01-{day}.", "Back in the office on 2026-01-{day}.", "On leave to 2026-01-{day}.", day=day
    )
    text = world.say(
        "Switch the automatic reply on, with this text: {notice}",
        "I am going on leave. Set up an automatic reply that says “{notice}”",
        "Turn on automatic replies in my mail settings. The text is: {notice}",
        notice=notice,
    )
    number = {row["name"]: row["id"] for row in world.database.rows("SELECT * FROM settings")}
    changes = Changes(
        Updated("settings", number["automatic reply"], {"value": "on"}),
        Updated("settings", number["automatic reply text"], {"value": notice}),
    )
    moves = [*click("Settings"), *tick("Automatic reply"), *fill("Text of the automatic reply", notice)]
    return _goal(text, changes, moves=[*moves, *click("Save settings"), *answer()])


def _finish_draft(world: World) -> Goal:
    draft = world.one(
        "SELECT mails.*, name FROM mails JOIN contacts ON contacts.email = recipient WHERE folder = 'Drafts'"
    )
    subject = f"Urgent: {draft['subject'].lower()}"
    text = world.say(
        "Send the draft to {name}, but change its subject to “{subject}” first.",
        "There is an unsent letter to {name}. Give it the subject “{subject}” and send it.",
        "Finish my draft for {name}: the subject should be “{subject}”, the text can stay. Then send it.",
        name=draft["name"],
        subject=subject,
    )
    moves = [*click("Drafts", draft["subject"], "Edit draft"), *fill("Subject", subject), *click("Send"), *answer()]
    wanted = Updated("mails", draft["id"], {"folder": "Sent", "subject": subject})
    return _goal(text, Changes(wanted), moves=moves)


MAIL_TASKS: dict[str, Make] = {
    "mail-open-letter": _open_letter,
    "mail-send": _send,
    "mail-reply": _reply,
    "mail-forward": _forward,
    "mail-archive": _archive,
    "mail-bin-newsletters": _bin_news,
    "mail-star": _star,
    "mail-label-bookings": _label_stays,
    "mail-add-contact": _add_contact,
    "mail-edit-contact": _new_phone,
    "mail-automatic-reply": _away,
    "mail-finish-draft": _finish_draft,
}
