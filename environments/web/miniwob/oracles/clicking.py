"""Pages that want the right things clicked: buttons, links, boxes, shapes, tabs and what they hide."""

from __future__ import annotations

import re

from arena.environments.web.miniwob.oracles._desk import Desk, Solve, ordinal

__all__ = ["SOLUTIONS"]

SUBMIT = "#area button:not(.ui-button)"


def clicks(*selectors: str) -> Solve:
    """Click certain things one after the other."""

    async def solve(desk: Desk) -> str:
        return "\n".join([await desk.click(selector) for selector in selectors])

    return solve


def quoted(selector: str) -> Solve:
    """Click the thing whose text the goal has in quotes."""

    async def solve(desk: Desk) -> str:
        return await desk.click(selector, desk.quoted()[0])

    return solve


async def delayed_buttons(desk: Desk) -> str:
    """An action takes half a second of the page's clock."""
    seconds = int(desk.asked(r"wait (\d+) seconds")[0])
    return "\n".join([await desk.click("#subbtn"), f"noop({1000 * seconds - 500})", await desk.click("#subbtn2")])


async def dialog(desk: Desk) -> str:
    wanted = desk.quoted()[0]
    if wanted == "x":
        return await desk.click(".ui-dialog-titlebar-close")
    return await desk.click(".ui-dialog-buttonpane button", wanted)


async def boxes(desk: Desk) -> str:
    """Tick what is named, leave the rest, submit."""
    wanted = desk.asked(r"Select (.*) and click Submit")[0].split(", ")
    return await _tick(desk, wanted)


async def similar_boxes(desk: Desk) -> str:
    """Tick synonyms of what is named: the page has the list of them."""
    words = desk.asked(r"similar to (.*) and click Submit")[0].split(", ")
    groups = await desk.read("SYNONYMS")
    wanted = [word for group in groups if set(group) & set(words) for word in group]
    return await _tick(desk, wanted)


async def _tick(desk: Desk, wanted: list[str]) -> str:
    lines = []
    for nth, (label, ticked) in enumerate(
        await desk.read("[...document.querySelectorAll('#area label')].map(e => [e.textContent, e.control.checked])")
    ):
        if (label in wanted) != ticked:
            lines.append(await desk.click("#area label input", nth=nth))
    return "\n".join([*lines, await desk.click("#subbtn")])


async def option(desk: Desk) -> str:
    return "\n".join(
        [await desk.click("#area label", desk.asked("Select (.*) and click")[0]), await desk.click("#subbtn")]
    )


async def pattern_of_boxes(desk: Desk) -> str:
    """Twenty-eight boxes at most twenty at a time."""
    pattern = [bit for row in (await desk.read("PATTERNS"))[int(desk.quoted()[0])] for bit in row]
    ticked = await desk.read("[...document.querySelectorAll('#checkboxes input')].map(e => e.checked)")
    wrong = [nth for nth, (bit, on) in enumerate(zip(pattern, ticked, strict=True)) if bool(bit) != on]
    lines = [await desk.click("#checkboxes input", nth=nth) for nth in wrong[:19]]
    return "\n".join([*lines, *([await desk.click("#subbtn")] if len(wrong) < 20 else [])])


async def color(desk: Desk) -> str:
    return await desk.click(f'#area .color[data-color="{desk.asked("the (.*) colored")[0]}"]')


async def shades(desk: Desk) -> str:
    wanted = f'#area span[data-color="{desk.asked("shades of (.*) and")[0]}"]:not(.selected)'
    count = await desk.read("s => document.querySelectorAll(s).length", wanted)
    return "\n".join([*[await desk.click(wanted, nth=nth) for nth in range(count)], await desk.click("#submit")])


async def tab(desk: Desk) -> str:
    return await desk.click("#area ul a", desk.asked(r"(Tab #\d)")[0])


async def link_behind_tabs(desk: Desk) -> str:
    """Open the tab that has the link; where none has it, the page wants the last tab itself."""
    wanted = desk.quoted()[0]
    if await desk.has(".alink", wanted):
        return await desk.click(".alink", wanted)
    panels = await desk.read("[...document.querySelectorAll('#area > div')].map(e => e.innerHTML)")
    holding = [nth for nth, html in enumerate(panels) if f'<span class="alink">{wanted}</span>' in html]
    return await desk.click("#area ul a", nth=holding[0] if holding else len(panels) - 1)


async def section(desk: Desk) -> str:
    lines = [] if await desk.has(".ui-accordion-content") else [await desk.click("#area h3")]
    return "\n".join([*lines, await desk.click("#subbtn")])


async def link_in_sections(desk: Desk) -> str:
    wanted = desk.quoted()[0]
    if await desk.has(".alink", wanted):
        return await desk.click(".alink", wanted)
    panels = await desk.read("[...document.querySelectorAll('.ui-accordion-content')].map(e => e.innerHTML)")
    holding = [nth for nth, html in enumerate(panels) if f'<span class="alink">{wanted}</span>' in html]
    return await desk.click("#area h3", nth=holding[0])


async def widget(desk: Desk) -> str:
    return await desk.click(f'#area .widget [data-type="{desk.quoted()[0]}"]')


async def grid(desk: Desk) -> str:
    place = desk.asked(r"(\(.*\))")[0]
    return await desk.click(f'circle[id="{place}"]')


async def greatest(desk: Desk) -> str:
    numbers = [int(text) for text in await desk.texts(".card-value")]
    return "\n".join([await desk.click(".card", nth=numbers.index(max(numbers))), await desk.click("#submit")])


async def ascending(desk: Desk) -> str:
    """The first click hides the numbers; their places stay known."""
    if await desk.has("svg text", "1"):
        return await desk.click("svg text", "1")
    left = sorted(await desk.read("[...document.querySelectorAll('svg rect')].map(e => Number(e.dataset.index))"))
    return "\n".join([await desk.click(f'svg rect[data-index="{number}"]') for number in left])


async def parity(desk: Desk) -> str:
    numbers = [int(text) for text in await desk.texts(".display-number")]
    lines = [await desk.click(".odd" if number % 2 else ".even", nth=nth) for nth, number in enumerate(numbers)]
    return "\n".join([*lines, await desk.click("#submit")])


async def focus(desk: Desk) -> str:
    words = re.search(r"(\d)\w\w input", desk.goal)
    return await desk.click("#area input", nth=ordinal(words[1]) if words else 0)


async def ticket(desk: Desk) -> str:
    kind = desk.asked("with the (.*)\\.")[0]
    what = ".time-duration" if "duration" in kind else ".buy-ticket"
    name = "duration" if "duration" in kind else "price"
    worths = await desk.read(f"[...document.querySelectorAll('{what}')].map(e => Number(e.dataset.{name}))")
    best = max(worths) if kind.startswith(("longest", "most")) else min(worths)
    return await desk.click(".buy-ticket", nth=worths.index(best))


SOLUTIONS: dict[str, Solve] = {
    "ascending-numbers": ascending,
    "button-delay": delayed_buttons,
    "buy-ticket": ticket,
    "click-button": quoted("#area button"),
    "click-button-sequence": clicks("#subbtn", "#subbtn2"),
    "click-checkboxes": boxes,
    "click-checkboxes-large": boxes,
    "click-checkboxes-soft": similar_boxes,
    "click-checkboxes-transfer": boxes,
    "click-collapsible": section,
    "click-collapsible-2": link_in_sections,
    "click-collapsible-2-nodelay": link_in_sections,
    "click-collapsible-nodelay": section,
    "click-color": color,
    "click-dialog": clicks(".ui-dialog-titlebar-close"),
    "click-dialog-2": dialog,
    "click-link": quoted("#area .alink"),
    "click-option": option,
    "click-shades": shades,
    "click-tab": tab,
    "click-tab-2": link_behind_tabs,
    "click-tab-2-easy": link_behind_tabs,
    "click-tab-2-hard": link_behind_tabs,
    "click-tab-2-medium": link_behind_tabs,
    "click-test": clicks("#subbtn"),
    "click-test-2": clicks("#subbtn"),
    "click-test-transfer": clicks("#subbtn"),
    "click-widget": widget,
    "find-greatest": greatest,
    "focus-text": focus,
    "focus-text-2": focus,
    "grid-coordinate": grid,
    "number-checkboxes": pattern_of_boxes,
    "odd-or-even": parity,
    "unicode-test": quoted("#area button"),
}
