"""Pages that are small sites: mail, posts, a search, a phone book, a tree of files, flights, a menu, a calendar."""

from __future__ import annotations

import json
import re

from arena.environments.web.miniwob.oracles._desk import Desk, Solve, ordinal
from arena.environments.web.miniwob.oracles.choosing import pick_date

__all__ = ["SOLUTIONS"]


async def mail(desk: Desk) -> str:
    """Find the letter, then reply to it, forward it, mark it or throw it away."""
    errand = await _errand(desk)
    task = errand["task"]
    if await desk.has("#reply"):
        return "\n".join([await desk.fill("#reply-text", errand["message"]), await desk.click("#send-reply")])
    if await desk.has("#forward"):
        return "\n".join([await desk.fill("#forward .forward-sender", errand["to"]), await desk.click("#send-forward")])
    if await desk.has("#email"):
        return await desk.click(f"#email .email-{task}")
    names = await desk.texts("#main .email-thread .email-sender")
    thread = f'#main .email-thread[data-index="{names.index(errand["by"])}"]'
    if task in ("delete", "star"):
        return await desk.click(f"{thread} .{'trash' if task == 'delete' else 'star'}")
    return await desk.click(thread)


async def _errand(desk: Desk) -> dict[str, str]:
    """Some of the pages say in fields what their goal means; of the others the goal is of few forms."""
    if fields := await desk.read("core.currentFields || null"):
        return {"task": "forward", **fields}
    (by,) = desk.asked(r"email by (\w+) and")
    if found := re.search(r'reply to them with the text "(.*)"', desk.goal):
        return {"task": "reply", "by": by, "message": found[1]}
    if found := re.search(r"forward that email to (\w+)", desk.goal):
        return {"task": "forward", "by": by, "to": found[1]}
    return {"task": "delete" if "trash" in desk.goal else "star", "by": by}


async def post(desk: Desk) -> str:
    """A button of the first post of somebody; some are in a menu that is opened first."""
    button, thing = await _button(desk)
    (post, *_) = await _posts(desk, desk.asked(r"the user (@\w+)")[0])
    if not await desk.has(f"{post} .{button}"):
        return await desk.click(f"{post} .more")
    return await desk.click(f"{post} {thing}")


async def posts(desk: Desk) -> str:
    """The same button on all posts of somebody, or on so many."""
    button, _ = await _button(desk)
    many, user = desk.asked(r"on (all|\d+) posts? by (@\w+)")
    wanted = (await _posts(desk, user))[: None if many == "all" else int(many)]
    lines = [await desk.click(f"{post} .{button}:not(.active)") for post in wanted]
    return "\n".join([*lines, await desk.click("#submitRow button")])


async def _button(desk: Desk) -> tuple[str, str]:
    named = await desk.read("ACTIONS")
    button = next(name for name, text in named.items() if text == desk.quoted()[0])
    return button, f".{button}"


async def _posts(desk: Desk, user: str) -> list[str]:
    users = await desk.texts(".media .username")
    return [f'.media[data-result="{nth}"]' for nth, name in enumerate(users) if name == user]


async def search(desk: Desk) -> str:
    """Three results a page."""
    if not await desk.has("#page-content a"):
        return "\n".join([await desk.fill("#search-text", desk.quoted()[0]), await desk.click("#search")])
    nth = ordinal(desk.asked(r"the (\d)\w\w search result")[0])
    if await desk.has(f'#page-content a[data-result="{nth}"]'):
        return await desk.click(f'#page-content a[data-result="{nth}"]')
    return await desk.click("#pagination a", str(nth // 3 + 1))


async def phone_book(desk: Desk) -> str:
    name, what = desk.asked(r"Find (\w+) in the contact book and click on their (\w+)")
    if await desk.has("#contact .name", name):
        return await desk.click(f"#contact .{what}")
    return await desk.click("#pagination a", ">")


async def tree(desk: Desk) -> str:
    """Open the folders that the file is in, from the outermost on."""
    name = json.dumps(desk.quoted()[0])
    nth = await desk.read(_NEXT_IN_TREE.replace("NAME", name))
    return await desk.click("#tree span", nth=nth)


async def movie(desk: Desk) -> str:
    """The fields stand in any order; a label tells which is which."""
    genre, director, year = desk.asked(r"Search for (\w+) movies directed by (.*) from year (\d+)")
    answers = {"Genre": genre, "Director": director, "Year": year, "Date": year}
    labels = await desk.read(_LABELS)
    filled = [(nth, value) for nth, label in enumerate(labels) for word, value in answers.items() if word in label]
    lines = [await desk.fill("#area input", value, nth) for nth, value in filled]
    return "\n".join([*lines, await desk.click("#area button, #area .final, #area .ui-submit")])


async def meal(desk: Desk) -> str:
    """One of each that is named, or so many of the first that is of a kind."""
    menu = await desk.read("MENU")
    if found := re.search(r"Order (\d+) items that are (.*)", desk.goal):
        dish = next(dish["id"] for dish in menu if found[2] in dish["types"])
        dishes = [dish] * int(found[1])
    else:
        names = [name.strip() for name in desk.asked("each item: (.*)")[0].split(",")]
        dishes = [dish["id"] for dish in menu if dish["name"].strip() in names]
    lines = [await desk.click(f'.food-item[data-id="{dish}"] .add') for dish in dishes]
    return "\n".join([*lines, await desk.click("#submit-order button")])


async def flight(desk: Desk) -> str:
    """Two airports and a date, then the cheapest or shortest of what is found."""
    kind, start, end, month, day, year = desk.asked(
        r"the (\w+) one-way flight from: (.*) to: (.*) on (\d+)/(\d+)/(\d+)"
    )
    if await desk.has(".flight"):
        what = ".time-duration', 'duration" if kind == "shortest" else ".flight-price', 'price"
        worths = await desk.read(
            f"((s, k) => [...document.querySelectorAll(s)].map(e => Number(e.dataset[k])))('{what}')"
        )
        return await desk.click(".flight-price", nth=worths.index(min(worths)))
    airports = await desk.read("DOMESTIC_FLIGHTS")
    if not await desk.read("document.querySelector('#flight-to').value"):
        lines = []
        for selector, place in (("#flight-from", start), ("#flight-to", end)):
            airport = next(airport for airport in airports if place in airport)
            lines += [await desk.fill(selector, airport), await desk.press(selector, "Escape")]
        return "\n".join(lines)
    return await pick_date(desk, int(month), int(day), int(year)) or await desk.click("#search")


async def event(desk: Desk) -> str:
    """Drag over free half hours, let go over the event that appears a little higher, name it and create it."""
    if await desk.has("#event-name"):
        return "\n".join([await desk.fill("#event-name", desk.quoted()[0]), await desk.click("#create-event .create")])
    if await desk.has("#newEvent"):
        _, top, right, bottom = await desk.box("#newEvent")
        return f"mouse_up({right - 10:.6g}, {(top + bottom) / 2:.6g})"
    length, unit, start = desk.asked(r"Create a ([\d.]+) (hours?|mins) event .* between (\w+) and")
    halves = round(float(length) * 2 if unit.startswith("hour") else float(length) / 30)
    earliest = {"8AM": 16, "12PM": 24, "4PM": 32}[start]
    busy = set(await desk.read(_BUSY))
    first = next(hour for hour in range(earliest, earliest + 9 - halves) if not busy & set(range(hour, hour + halves)))
    (x, top), (_, bottom) = await desk.spot(f"#hh-{first}"), await desk.spot(f"#hh-{first + halves - 1}")
    if top < 100 or bottom > 195:
        return f"scroll_at(80, 120, 0, {round(top - 120)})"
    return f"mouse_down({x:.6g}, {top:.6g})\nmouse_move({x:.6g}, {bottom + 4:.6g})"


async def agreement(desk: Desk) -> str:
    if not (name := desk.quoted()):
        return await desk.click("#cancel")
    x, y = await desk.spot("#text-area")
    if await desk.has("#name:disabled"):
        return f"scroll_at({x:.6g}, {y:.6g}, 0, 10000)"
    return "\n".join([await desk.fill("#name", name[0]), await desk.click(f"#{name[1].lower()}")])


async def scrolled(desk: Desk) -> str:
    x, y = await desk.spot("#text-area")
    far = 10000 if "bottom" in desk.goal else -10000
    return "\n".join([f"scroll_at({x:.6g}, {y:.6g}, 0, {far})", await desk.click("#subbtn")])


SOLUTIONS: dict[str, Solve] = {
    "book-flight": flight,
    "book-flight-nodelay": flight,
    "daily-calendar": event,
    "email-inbox": mail,
    "email-inbox-delete": mail,
    "email-inbox-forward": mail,
    "email-inbox-forward-nl": mail,
    "email-inbox-forward-nl-turk": mail,
    "email-inbox-important": mail,
    "email-inbox-nl-turk": mail,
    "email-inbox-noscroll": mail,
    "email-inbox-reply": mail,
    "email-inbox-star-reply": mail,
    "multi-layouts": movie,
    "multi-orderings": movie,
    "navigate-tree": tree,
    "order-food": meal,
    "phone-book": phone_book,
    "scroll-text-2": scrolled,
    "search-engine": search,
    "sign-agreement": agreement,
    "social-media": post,
    "social-media-all": posts,
    "social-media-some": posts,
}

_NEXT_IN_TREE = """(() => {
  const seen = e => e.getClientRects().length > 0;
  let next = [...document.querySelectorAll('#tree span')].find(e => e.textContent === NAME);
  while (!seen(next)) next = next.closest('ul').closest('li').querySelector('span');
  return [...document.querySelectorAll('#tree span')].filter(seen).indexOf(next);
})()"""
"""Which of the entries that are seen leads to the one with a name."""

_LABELS = """[...document.querySelectorAll('#area input')].map(e => {
  while (!e.textContent.trim()) e = e.parentElement;
  return e.textContent;
})"""

_BUSY = """(() => {
  const events = [...document.querySelectorAll('.event')].map(e => e.getBoundingClientRect());
  const covered = r => events.some(e => e.top < r.bottom - 2 && e.bottom > r.top + 2);
  return [...document.querySelectorAll('.half-hour')].map(e => covered(e.getBoundingClientRect()))
    .flatMap((covered, hour) => covered ? [hour] : []);
})()"""
"""The half hours, counted from midnight, that an event lies over; events are drawn a pixel off."""
