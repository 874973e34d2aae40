"""Pages that want a choice from what a control offers: lists, menus, calendars, sliders, colour pickers."""

from __future__ import annotations

from arena.environments.web.miniwob.oracles._desk import Desk, Solve, ordinal

__all__ = ["SOLUTIONS", "pick_date"]

_MOST_CALLS = 20
"""Of one action."""

_ENTRY = "#menu li > div"


async def from_list(desk: Desk) -> str:
    wanted = desk.asked(r"Select (.*) from the (?:scroll )?list")[0]
    return "\n".join([await desk.choose("#options", *wanted.split(", ")), await desk.click("#area button")])


async def date(desk: Desk) -> str:
    month, day, year = map(int, desk.asked(r"Select (\d+)/(\d+)/(\d+)"))
    return await pick_date(desk, month, day, year) or await desk.click("#subbtn")


async def pick_date(desk: Desk, month: int, day: int, year: int) -> str | None:
    """Turn the calendar's leaves to the month and take the day; None once the field holds the date."""
    if await desk.read("document.querySelector('#datepicker').value"):
        return None
    if not await desk.has(".ui-datepicker"):
        return await desk.click("#datepicker")
    shown = await desk.read("(i => 12 * i.drawYear + i.drawMonth + 1)($('#datepicker').data('datepicker'))")
    away = 12 * year + month - shown
    if away == 0:
        return await desk.click(".ui-datepicker-calendar a", str(day))
    turn = await desk.spot(".ui-datepicker-prev" if away < 0 else ".ui-datepicker-next")
    return "\n".join([f"mouse_click({turn[0]:.6g}, {turn[1]:.6g})"] * abs(away))


async def slider(desk: Desk) -> str:
    """The handle moves by the arrow keys, a step a press."""
    goal = int(desk.asked(r"Select (-?\d+) with the slider")[0])
    return await _slid(desk, ["#slider"], [goal], [await desk.click("#subbtn")])


async def slider_and_box(desk: Desk) -> str:
    goal, box = desk.asked(r"Select (-?\d+) with the slider, click the (\d)\w\w checkbox")
    last = [await desk.click("#area input", nth=ordinal(box)), await desk.click("#subbtn")]
    return await _slid(desk, ["#slider"], [int(goal)], last)


async def sliders(desk: Desk) -> str:
    goals = [int(goal) for goal in desk.asked(r"\[(\d+),(\d+),(\d+)\]")]
    return await _slid(desk, ["#slider-1", "#slider-2", "#slider-3"], goals, [await desk.click("#subbtn")])


async def _slid(desk: Desk, names: list[str], goals: list[int], last: list[str]) -> str:
    """Click a handle to focus it, go to an end or far ahead by larger keys, and step to the goal."""
    keys: list[str] = []
    for name, goal in zip(names, goals, strict=True):
        low, high, at = await desk.read(f"(s => ['min', 'max', 'value'].map(k => s.slider('option', k)))($('{name}'))")
        if at != goal:
            keys += [await _focus(desk, name), *_steps(low, high, at, goal)]
    if len(keys) + len(last) <= _MOST_CALLS:
        return "\n".join([*keys, *last])
    return "\n".join(keys[:_MOST_CALLS])


async def _focus(desk: Desk, slider: str) -> str:
    return await desk.click(f"{slider} .ui-slider-handle")


def _steps(low: int, high: int, at: int, goal: int) -> list[str]:
    """The keys of jQuery: Home, End, a page (a fifth of the range) and the arrows; the shortest way among a few."""
    page = (high - low) / 5
    ways = []
    for first, start in ((None, at), ("Home", low), ("End", high)):
        pages = round((goal - start) / page)
        for count in {pages, int((goal - start) / page)}:
            reached = start + count * page
            if reached != round(reached) or not low <= reached <= high:
                continue
            big = ["PageUp" if count > 0 else "PageDown"] * abs(count)
            small = ["ArrowRight" if goal > reached else "ArrowLeft"] * abs(int(goal - reached))
            ways.append([*([first] if first else []), *big, *small])
    return [f'keyboard_press("{key}")' for key in min(ways, key=len)]


async def spinner(desk: Desk) -> str:
    goal = int(desk.asked(r"Select (-?\d+) with")[0])
    away = goal - int(await desk.read("document.querySelector('#spinner').value"))
    x, y = await desk.spot(".ui-spinner-up" if away > 0 else ".ui-spinner-down")
    return "\n".join([*[f"mouse_click({x:.6g}, {y:.6g})"] * abs(away), await desk.click("#subbtn")])


async def autocomplete(desk: Desk) -> str:
    words = desk.quoted()
    start, end = words[0], words[1] if len(words) > 1 else ""
    items = await desk.read("ITEMS")
    item = next(item for item in items if item.startswith(start) and item.endswith(end))
    return "\n".join([await desk.fill("#tags", item), await desk.press("#tags", "Escape"), await desk.click("#subbtn")])


async def menu(desk: Desk) -> str:
    """Hover over one entry after the other, which opens the next level, and click the last."""
    *way, last = desk.asked("Select (.*)")[0].split(">")
    for inner in reversed([*way[1:], last] if way else []):
        if await desk.has(_ENTRY, inner):
            return await desk.click(_ENTRY, last) if inner == last else await desk.hover(_ENTRY, inner)
    return await desk.hover(_ENTRY, way[0]) if way else await desk.click(_ENTRY, last)


async def menu_of_icons(desk: Desk) -> str:
    """The goal names an entry, or shows its icon."""
    if not await desk.has("#menu"):
        return await desk.click("#open-menu")
    icon = "document.querySelector('#query .ui-icon')"
    label = desk.quoted()[1] if len(desk.quoted()) > 1 else ""
    if not label:
        names = await desk.read("PROBLEM_SET")
        shown = await desk.read(f"{icon}.className.replace('ui-icon ', '')")
        label = next(name for name, picture in names.items() if picture == shown)
    if not await desk.has(_ENTRY, label):
        return await desk.click(_ENTRY, "Playback")
    return await desk.click(_ENTRY, label)


async def height(desk: Desk) -> str:
    """A list drawn by a script; its keys are those of a list."""
    wanted, button = desk.asked('Choose (.*) from the dropdown, then click the button labeled "(.*)"')
    at, options = await desk.read("(s => [s.selectedIndex, [...s.options].map(o => o.text)])(dropdown)")
    away = options.index(wanted) - at
    key = await desk.press(".selectric-input", "ArrowDown" if away > 0 else "ArrowUp")
    enter = await desk.press(".selectric-input", "Enter")
    return "\n".join([*([*[key] * abs(away), enter] if away else []), await desk.click("#buttons button", button)])


async def color(desk: Desk) -> str:
    """The field takes a colour in hexadecimal digits, and the picker follows it."""
    if name := desk.goal.partition("Select ")[2].partition(" with")[0].removeprefix("the following color"):
        value = await desk.read("name => ui_utils.colorNameToHex(name)", name)
    else:
        shown = "getComputedStyle(document.querySelector('#query .cc')).backgroundColor"
        parts = await desk.read(f"{shown}.match(/\\d+/g).map(Number)")
        value = "#" + "".join(f"{part:02x}" for part in parts)
    return "\n".join([await desk.fill("#col", value[1:]), 'keyboard_press("Tab")', await desk.click("#subbtn")])


SOLUTIONS: dict[str, Solve] = {
    "choose-date": date,
    "choose-date-easy": date,
    "choose-date-medium": date,
    "choose-date-nodelay": date,
    "choose-list": from_list,
    "click-menu": menu,
    "click-menu-2": menu_of_icons,
    "click-scroll-list": from_list,
    "form-sequence": slider_and_box,
    "form-sequence-3": height,
    "use-autocomplete": autocomplete,
    "use-autocomplete-nodelay": autocomplete,
    "use-colorwheel": color,
    "use-colorwheel-2": color,
    "use-slider": slider,
    "use-slider-2": sliders,
    "use-spinner": spinner,
}
