"""The mail client: folders, letters, drafts, an address book and settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from arena.environments.web._serving import Request, Response
from arena.environments.web.workplace._content import words
from arena.environments.web.workplace._database import ME, Database
from arena.environments.web.workplace._site import Site, field, portion

__all__ = ["FOLDERS", "Mail"]

FOLDERS = ("Inbox", "Drafts", "Sent", "Archive", "Bin")


class Mail(Site):
    """Answers for the mail client."""

    name = "Mail"

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        pages = self.pages
        pages.get("/")(self._home)
        pages.get("/folders/{name}")(self._folder)
        pages.get("/search")(self._search)
        pages.get("/letters/{number}")(self._letter)
        pages.post("/letters/{number}/star")(self._star)
        pages.post("/letters/{number}/file")(self._file)
        pages.post("/letters/{number}/label")(self._label)
        pages.get("/letters/{number}/edit")(self._draft)
        pages.get("/letters/{number}/reply")(self._reply)
        pages.get("/letters/{number}/forward")(self._forward)
        pages.get("/compose")(self._compose)
        pages.post("/compose")(self._composed)
        pages.get("/contacts")(self._contacts)
        pages.get("/contacts/new")(self._new_contact)
        pages.post("/contacts/new")(self._contact_added)
        pages.get("/contacts/{number}")(self._contact)
        pages.post("/contacts/{number}")(self._contact_saved)
        pages.get("/settings")(self._settings)
        pages.post("/settings")(self._settings_saved)

    def beside(self) -> dict[str, Any]:
        """The folders, and how many letters are unread."""
        unread = self.database.value("SELECT COUNT(*) FROM mails WHERE folder = 'Inbox' AND unread")
        return {"folders": FOLDERS, "unread": unread}

    def _home(self, request: Request) -> Response:
        return self._folder(request, "Inbox")

    def _folder(self, request: Request, name: str) -> Response:
        if name not in FOLDERS:
            return self.missing("folder")
        mails = self._named("WHERE folder = ?", name)
        return self.page("folder", name, folder=name, mails=portion(request, mails))

    def _search(self, request: Request) -> Response:
        asked = request.query.get("q", "").casefold().split()
        where = (
            "folder || ' ' || who || ' ' || sender || ' ' || recipient || ' ' || subject || ' ' || body || ' ' || label"
        )
        conditions = " AND ".join([f"instr(lower({where}), ?) > 0"] * len(asked))
        found = self._named(f"WHERE {conditions}", *asked) if asked else []
        return self.page("search", "Search", asked=request.query.get("q", ""), mails=portion(request, found))

    def _named(self, where: str, *values: str) -> list[dict[str, Any]]:
        """Letters with the name of who is at the other end, the newest first."""
        return self.database.rows(
            "SELECT * FROM (SELECT mails.*, COALESCE(contacts.name, mails.sender) AS who FROM mails "
            "LEFT JOIN contacts ON contacts.email = "
            "CASE WHEN folder IN ('Sent', 'Drafts') THEN mails.recipient ELSE mails.sender END) "
            f"{where} ORDER BY made DESC, id DESC",
            *values,
        )

    def _letter(self, request: Request, number: str) -> Response:
        mail = self.database.row("mails", number)
        if mail is None:
            return self.missing("letter")
        if mail["unread"]:
            self.database.change("mails", mail["id"], unread=0)
        names = {who: self._name(mail[who]) for who in ("sender", "recipient")}
        labels = words()["mail"]["labels"]
        return self.page("letter", mail["subject"] or "(no subject)", mail=mail, names=names, labels=labels)

    def _name(self, address: str) -> str:
        asked = "SELECT name FROM contacts WHERE email = ?1 UNION SELECT name FROM people WHERE email = ?1"
        found = self.database.value(asked, address)
        return str(found or address)

    def _star(self, request: Request, number: str) -> Response:
        mail = self.database.row("mails", number)
        if mail is None:
            return self.missing("letter")
        self.database.change("mails", mail["id"], starred=1 - mail["starred"])
        return self.moved(
            f"/letters/{number}", "The star was removed." if mail["starred"] else "The letter was starred."
        )

    def _file(self, request: Request, number: str) -> Response:
        mail, folder = self.database.row("mails", number), field(request, "folder")
        if mail is None or folder not in FOLDERS:
            return self.missing("letter" if mail is None else "folder")
        self.database.change("mails", mail["id"], folder=folder)
        return self.moved(f"/folders/{mail['folder']}", f"The letter was moved to {folder}.")

    def _label(self, request: Request, number: str) -> Response:
        mail, label = self.database.row("mails", number), field(request, "label")
        if mail is None or label not in ("", *words()["mail"]["labels"]):
            return self.missing("letter" if mail is None else "label")
        self.database.change("mails", mail["id"], label=label)
        return self.moved(f"/letters/{number}", f"The label is now {label}." if label else "The label was removed.")

    def _draft(self, request: Request, number: str) -> Response:
        mail = self.database.row("mails", number)
        if mail is None or mail["folder"] != "Drafts":
            return self.missing("draft")
        return self._form("Edit draft", {**mail, "draft": mail["id"]})

    def _reply(self, request: Request, number: str) -> Response:
        mail = self.database.row("mails", number)
        if mail is None:
            return self.missing("letter")
        subject = mail["subject"] if mail["subject"].startswith("Re: ") else f"Re: {mail['subject']}"
        return self._form("Reply", {"recipient": mail["sender"], "subject": subject, "answers": mail["id"]})

    def _forward(self, request: Request, number: str) -> Response:
        mail = self.database.row("mails", number)
        if mail is None:
            return self.missing("letter")
        body = f"---- Forwarded letter ----\nFrom: {mail['sender']}\n\n{mail['body']}"
        return self._form("Forward", {"subject": f"Fwd: {mail['subject']}", "body": body})

    def _compose(self, request: Request) -> Response:
        return self._form("New letter", {"recipient": request.query.get("to", "")})

    def _form(self, title: str, values: dict[str, Any], error: str = "") -> Response:
        fields = {name: values.get(name) or "" for name in ("recipient", "subject", "body", "answers", "draft")}
        return self.page("compose", title, fields=fields, error=error)

    def _composed(self, request: Request) -> Response:
        values = {name: field(request, name) for name in ("recipient", "subject", "body", "answers", "draft")}
        sending = request.form.get("do") == "send"
        if sending and "@" not in values["recipient"]:
            return self._form("New letter", values, "Write the address of the recipient, such as name@example.test.")
        me = self.database.row("people", ME)
        assert me is not None
        row = {name: values[name] for name in ("recipient", "subject", "body")}
        row |= {"folder": "Sent" if sending else "Drafts", "sender": me["email"], "made": self.database.now()}
        answered, draft = self.database.row("mails", values["answers"]), self.database.row("mails", values["draft"])
        if draft is not None and draft["folder"] == "Drafts":
            self.database.change("mails", draft["id"], **row)
        else:
            self.database.add("mails", **row, answers=answered["id"] if answered else None)
        return self.moved(f"/folders/{row['folder']}", "The letter was sent." if sending else "The draft was saved.")

    def _contacts(self, request: Request) -> Response:
        asked = request.query.get("q", "").casefold().split()
        contacts = [
            one
            for one in self.database.rows("SELECT * FROM contacts ORDER BY name")
            if all(word in f"{one['name']} {one['email']} {one['company']}".casefold() for word in asked)
        ]
        return self.page("contacts", "Contacts", asked=request.query.get("q", ""), contacts=portion(request, contacts))

    def _contact(self, request: Request, number: str) -> Response:
        contact = self.database.row("contacts", number)
        return self.missing("contact") if contact is None else self._contact_form(contact["name"], contact, "")

    def _new_contact(self, request: Request) -> Response:
        return self._contact_form("New contact", {"name": "", "email": "", "phone": "", "company": ""}, "")

    def _contact_form(self, title: str, contact: dict[str, Any], error: str) -> Response:
        return self.page(
            "contact", title, contact=contact, error=error, compose=f"/compose?to={quote(contact['email'])}"
        )

    def _contact_added(self, request: Request) -> Response:
        values = {name: field(request, name) for name in ("name", "email", "phone", "company")}
        if not values["name"] or "@" not in values["email"]:
            return self._contact_form("New contact", values, "A contact needs a name and an e-mail address.")
        number = self.database.add("contacts", **values)
        return self.moved(f"/contacts/{number}", "The contact was added.")

    def _contact_saved(self, request: Request, number: str) -> Response:
        contact = self.database.row("contacts", number)
        if contact is None:
            return self.missing("contact")
        values = {name: field(request, name) for name in ("name", "email", "phone", "company")}
        if not values["name"] or "@" not in values["email"]:
            form = {**contact, **values}
            return self._contact_form(contact["name"], form, "A contact needs a name and an e-mail address.")
        self.database.change("contacts", contact["id"], **values)
        return self.moved(f"/contacts/{number}", "The contact was saved.")

    def _settings(self, request: Request) -> Response:
        settings = {row["name"]: row["value"] for row in self.database.rows("SELECT * FROM settings")}
        return self.page("settings", "Settings", settings=settings)

    def _settings_saved(self, request: Request) -> Response:
        values = {
            "signature": field(request, "signature"),
            "automatic reply": "on" if request.form.get("reply") else "off",
            "automatic reply text": field(request, "text"),
        }
        for row in self.database.rows("SELECT * FROM settings"):
            self.database.change("settings", row["id"], value=values[row["name"]])
        return self.moved("/settings", "Your settings were saved.")
