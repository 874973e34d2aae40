"""Tasks in the mail client."""

from __future__ import annotations

import re

from arena.environments.web.workplace._content import words
from arena.environments.web.workplace._database import Row
from arena.environments.web.workplace._evaluators import (
    Added,
    Answer,
    At,
    Changes,
    Holding,
    Infeasible,
    Number,
    Shows,
    Updated,
)
from arena.environments.web.workplace._moves import Move, answer, choose, click, fill, give_up, search, tick
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, Make, World

__all__ = ["MAIL_TASKS", "MESSAGES", "find_letter", "look_up", "sent"]

_LETTERS = "SELECT mails.*, name, company FROM mails JOIN contacts ON contacts.email = sender"
_ALONE = "(SELECT COUNT(*) FROM mails AS m WHERE m.subject = mails.subject) = 1"

MESSAGES = (
    "Can we move this to next week?",
    "Thank you, that suits me well.",
    "I have two questions about this. Can you call me?",
    "Please send me the details by Friday.",
    "Good news: everything is ready.",
)


def find_letter(letter: Row) -> list[Move]:
    """Search for a letter and open it."""
    return [*search("Search mail", letter["subject"]), *click(letter["subject"])]


def _browse(world: World, letter: Row) -> list[Move]:
    """Go through the inbox to a letter, page by page."""
    ranked = world.database.rows("SELECT id FROM mails WHERE folder = 'Inbox' ORDER BY made DESC, id DESC")
    page = [row["id"] for row in ranked].index(letter["id"]) // 10
    return click("Inbox", *["Next page"] * page, letter["subject"])


def look_up(contact: Row) -> list[Move]:
    """Find a person in the address book."""
    return [*click("Contacts"), *fill("Search contacts", contact["name"]), *click("Find", contact["name"])]


def sent(world: World, recipient: str, subject: str, body: object, answers: int | None = None) -> Added:
    """A letter that should have been sent."""
    values = {"folder": "Sent", "sender": world.me["email"], "recipient": recipient, "subject": subject}
    return Added("mails", {**values, "body": body, "answers": answers})


def _goal(text: str, *evaluators: object, moves: list[Move]) -> Goal:
    return Goal(text, "Mail", evaluators, tuple(moves))  # type: ignore[arg-type]


def _amount(letter: Row) -> float:
    found = re.search(r"due is ([\d,.]+) EUR", letter["body"])
    assert found is not None
    return float(found[1].replace(",", ""))


def _invoice_amount(world: World) -> Goal:
    letter = world.one(f"{_LETTERS} WHERE subject LIKE 'Invoice %'")
    number = letter["subject"].split()[1]
    text = world.say(
        "What amount is due on invoice {number} from {company}? Answer with the number.",
        "How much do I owe {company} for invoice {number}, in euros?",
        "Look up invoice {number} in my mail and tell me the amount, as a number only.",
        number=number,
        company=letter["company"],
    )
    amount = _amount(letter)
    return _goal(text, Number(amount), Changes(), moves=[*find_letter(letter), *answer(f"{amount:.2f}")])


def _invoice_total(world: World) -> Goal:
    several = "(SELECT COUNT(*) FROM mails AS m WHERE m.sender = mails.sender AND m.subject LIKE 'Invoice %') = 2"
    letter = world.one(f"{_LETTERS} WHERE subject LIKE 'Invoice %' AND {several}")
    both = world.database.rows(f"{_LETTERS} WHERE subject LIKE 'Invoice %' AND sender = ?", letter["sender"])
    total = round(sum(_amount(one) for one in both), 2)
    text = world.say(
        "{company} sent me several invoices. What do they come to altogether? Answer with the number.",
        "Add up all invoices from {company} in my inbox and tell me the total in euros.",
        "How much is due to {company} in total, over all of its invoices?",
        company=letter["company"],
    )
    moves = [*find_letter(both[0]), *find_letter(both[1]), *answer(f"{total:.2f}")]
    return _goal(text, Number(total), Changes(), moves=moves)


def _booking_code(world: World) -> Goal:
    letter = world.one(f"{_LETTERS} WHERE subject LIKE 'Your stay in %'")
    code = letter["body"].rpartition(" ")[2]
    text = world.say(
        "What is the booking code of my stay in {city}?",
        "I booked a room in {city}. Send me the booking code, nothing else.",
        "Find the code of my hotel booking in {city} in my letters.",
        city=letter["subject"].removeprefix("Your stay in "),
    )
    return _goal(text, Answer(code), Changes(), moves=[*_browse(world, letter), *answer(code)])


def _count_letters(world: World) -> Goal:
    letter = world.one(f"{_LETTERS} WHERE folder = 'Inbox'")
    number = world.database.value("SELECT COUNT(*) FROM mails WHERE folder = 'Inbox' AND sender = ?", letter["sender"])
    text = world.say(
        "How many letters from {name} are in my inbox? Answer with a number.",
        "Count the letters in the inbox that {name} sent me.",
        "Tell me how many letters I have in the inbox from {name}.",
        name=letter["name"],
    )
    moves = [*search("Search mail", letter["sender"]), *answer(str(number))]
    return _goal(text, Number(number), Changes(), moves=moves)


def _phone(world: World) -> Goal:
    contact = world.one("SELECT * FROM contacts")
    text = world.say(
        "What is the phone number of {name}?",
        "I want to call {name}. Send me the number from the address book, nothing else.",
        "Look up {name} of {company} in my contacts and tell me the phone number.",
        name=contact["name"],
        company=contact["company"],
    )
    return _goal(text, Answer(contact["phone"]), Changes(), moves=[*look_up(contact), *answer(contact["phone"])])


def _open_letter(world: World) -> Goal:
    letter = world.one(f"{_LETTERS} WHERE folder = 'Inbox' AND {_ALONE}")
    text = world.say(
        "Open the letter “{subject}” from {name}.",
        "Bring up {name}'s letter with the subject “{subject}”.",
        "I want to read “{subject}”, which {name} sent me. Leave it open.",
        subject=letter["subject"],
        name=letter["name"],
    )
    evaluators = (At(f"{ORIGINS['Mail']}/letters/{letter['id']}"), Shows((letter["body"],)), Changes())
    return _goal(text, *evaluators, moves=[*_browse(world, letter), *answer()])


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
    letter, body = world.one(f"{_LETTERS} WHERE folder = 'Inbox' AND {_ALONE}"), world.draw.choice(MESSAGES)
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
    letter = world.one(f"{_LETTERS} WHERE folder = 'Inbox' AND {_ALONE}")
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
    letter = world.one(f"{_LETTERS} WHERE folder = 'Inbox' AND {_ALONE}")
    text = world.say(
        "Move the letter “{subject}” to the archive.",
        "Archive “{subject}” from {name}.",
        "I am done with “{subject}”; file it in Archive.",
        subject=letter["subject"],
        name=letter["name"],
    )
    moves = [*_browse(world, letter), *choose("Move to", "Archive"), *click("Move"), *answer()]
    return _goal(text, Changes(Updated("mails", letter["id"], {"folder": "Archive"})), moves=moves)


def _bin_news(world: World) -> Goal:
    letter = world.one(f"{_LETTERS} WHERE subject LIKE company || ':%'")
    news = world.database.rows(f"{_LETTERS} WHERE sender = ? AND subject LIKE company || ':%'", letter["sender"])
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
    letter = world.one(f"{_LETTERS} WHERE folder = 'Inbox' AND NOT starred AND {_ALONE}")
    text = world.say(
        "Star the letter “{subject}”.",
        "Put a star on “{subject}” from {name}.",
        "Mark {name}'s letter “{subject}” with a star.",
        subject=letter["subject"],
        name=letter["name"],
    )
    moves = [*_browse(world, letter), *click("Star"), *answer()]
    return _goal(text, Changes(Updated("mails", letter["id"], {"starred": 1})), moves=moves)


def _label_stays(world: World) -> Goal:
    stays = world.database.rows(f"{_LETTERS} WHERE subject LIKE 'Your stay in %' ORDER BY made DESC")
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


def _unknown_person(world: World) -> Goal:
    name = world.stranger()
    text = world.say(
        "What is the phone number of {name}?",
        "Send {name} a letter with the subject “Hello” and the text “See you soon.”",
        "Forward the newest letter in my inbox to {name}.",
        name=name,
    )
    moves = [*click("Contacts"), *fill("Search contacts", name), *click("Find"), *give_up("Nobody has this name.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


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
    return _goal(text, Infeasible(), Changes(), moves=moves)


MAIL_TASKS: dict[str, Make] = {
    "mail-invoice-amount": _invoice_amount,
    "mail-invoice-total": _invoice_total,
    "mail-booking-code": _booking_code,
    "mail-count-letters": _count_letters,
    "mail-phone": _phone,
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
    "mail-unknown-person-infeasible": _unknown_person,
    "mail-schedule-infeasible": _later,
}
