"""Pages that want something found out: by looking closely, by trying, or by waiting for the moment."""

from __future__ import annotations

import re

from arena.environments.web.miniwob.oracles._desk import Desk, Solve

__all__ = ["SOLUTIONS"]

_KINDS = {"rect": "rectangle", "circle": "circle", "polygon": "triangle"}


async def shape(desk: Desk) -> str:
    matching = await _matching(desk, desk.asked("Click on an? (.*)")[0])
    return await desk.click("#area_svg > *", nth=matching[0])


async def count(desk: Desk) -> str:
    found = await _matching(desk, desk.asked("How many (.*)s are there")[0])
    return await desk.click("#count-buttons button", str(len(found)))


async def kind(desk: Desk) -> str:
    tag, text = await desk.read("(e => [e.tagName, e.textContent])(document.querySelector('#area_svg > *'))")
    what = _KINDS.get(tag, "digit" if text.isdigit() else "letter")
    return await desk.click(f'#area-buttons button[data-type="{what}"]')


async def _matching(desk: Desk, description: str) -> list[int]:
    """Which of the shapes are as described: size, colour and what it is, of which the first two may be missing."""
    found = re.fullmatch(r"(?:(small|large) )?(?:(\w{3,}) )?(\w+)", description)
    assert found is not None
    size, color, what = found.groups()
    matching = []
    for nth, (tag, text, fill, height) in enumerate(await desk.read(_SHAPES)):
        is_a = (
            {"item", _KINDS[tag], "shape"} if tag in _KINDS else {"item", text, "digit" if text.isdigit() else "letter"}
        )
        if what in is_a and color in (None, fill) and size in (None, "large" if height > 14 else "small"):
            matching.append(nth)
    return matching


async def pie(desk: Desk) -> str:
    """The menu is opened first."""
    if await desk.has("svg text", "+"):
        return await desk.click("svg text", "+")
    return await desk.click("svg text", desk.quoted()[0])


async def guess(desk: Desk) -> str:
    """All ten, one after the other: the first right one ends the episode."""
    submit = await desk.click("#subbtn")
    return "\n".join([f"{await desk.fill('#tt', str(number))}\n{submit}" for number in range(10)])


async def generated(desk: Desk) -> str:
    """Generate until the number will do."""
    shown = await desk.text("#display-number")
    if shown != "-" and _suits(int(shown), desk.goal):
        return await desk.click("#submit")
    return await desk.click("#generate")


def _suits(number: int, goal: str) -> bool:
    if found := re.search(r"(less|greater) than (\d+)", goal):
        return number < int(found[2]) if found[1] == "less" else number > int(found[2])
    return number % 2 == (1 if "odd" in goal else 0)


async def hidden_place(desk: Desk) -> str:
    """Eight places, one of which is close enough; the page says when."""
    places = [(20 + 40 * nth, 81 + 62 * row) for row in (0, 1) for nth in range(4)]
    if await desk.has("#signal.cold, #signal.warm, #signal.hot"):
        x, y = places[desk.turn - 1]
        return f"mouse_click({x}, {y})"
    x, y = places[min(desk.turn, 7)]
    return f"mouse_move({x}, {y})"


async def stock(desk: Desk) -> str:
    """The price asked for is the 76th, which is shown after 7.6 seconds; an earlier one may do as well."""
    limit = float(desk.asked(r"less than \$([\d.]+\d)")[0])
    price = await desk.text("#stock-price")
    left = 7600 - int(await desk.read("Date.now() - core.ept0"))
    if left <= 0 or (price and float(price.removeprefix("$")) <= limit):
        return await desk.click("#buy")
    return f"noop({1000 if left > 1600 else left})"  # every look takes half a second, so the last is no short one


async def deletion(desk: Desk) -> str:
    """The terminal takes keys once it was clicked."""
    files = await desk.read("currentFiles")
    if found := re.search(r"extension \.(.*)", desk.goal):
        name = next(name for name in files if name.endswith("." + found[1]))
    else:
        name = next(name for name in files if "." not in name)
    return "\n".join([await desk.click("#terminal"), f'keyboard_type("rm {name}")', 'keyboard_press("Enter")'])


async def style(desk: Desk) -> str:
    """Mark the words, then press the button, or open the palette and take a colour of it."""
    if await desk.has(".ql-color.ql-expanded"):
        value = (await desk.read("COLOR_MAP"))[desk.asked("color (\\w+)")[0]][0]
        return "\n".join([await desk.click(f'.ql-picker-item[data-value="{value}"]'), await desk.click("#subbtn")])
    found = re.search("give the text (.*) the (?:style|color)", desk.goal)
    (x1, y1), (x2, y2) = await desk.read(_WORD, found[1] if found else "")
    marking = f"mouse_drag_and_drop({x1:.6g}, {y1:.6g}, {x2:.6g}, {y2:.6g})"
    if "color" in desk.goal:
        return "\n".join([marking, await desk.click(".ql-color .ql-picker-label")])
    name = {"bold": "bold", "italics": "italic", "underlined": "underline"}[desk.asked("style (\\w+)")[0]]
    return "\n".join([marking, await desk.click(f".ql-{name}"), await desk.click("#subbtn")])


SOLUTIONS: dict[str, Solve] = {
    "click-pie": pie,
    "click-shape": shape,
    "count-shape": count,
    "generate-number": generated,
    "guess-number": guess,
    "hot-cold": hidden_place,
    "identify-shape": kind,
    "stock-market": stock,
    "terminal": deletion,
    "text-editor": style,
}

_SHAPES = """[...document.querySelectorAll('#area_svg > *')].map(e => [e.tagName, e.textContent, e.getAttribute('fill'),
  e.tagName === 'text' ? parseFloat(e.getAttribute('font-size')) : e.getBBox().height])"""

_WORD = """word => {
  const text = document.querySelector('.ql-editor p').firstChild, from = text.data.indexOf(word);
  const range = document.createRange();
  range.setStart(text, from); range.setEnd(text, word ? from + word.length : text.data.length);
  const lines = [...range.getClientRects()], first = lines[0], last = lines[lines.length - 1];
  return [[first.left + 0.5, first.top + first.height / 2], [last.right - 0.5, last.top + last.height / 2]];
}"""
"""(word) -> where a word begins and ends; without one, the whole text."""
