"""Pages that want something moved, drawn, marked or placed with the mouse."""

from __future__ import annotations

import math

from arena.environments.web.miniwob.oracles._desk import Desk, Solve, Spot, ordinal

__all__ = ["SOLUTIONS"]

SUBMIT = "#area button"
_WAYS: dict[str, Spot] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def dragged(start: Spot, end: Spot) -> str:
    """Drag from one point to another."""
    return f"mouse_drag_and_drop({start[0]:.6g}, {start[1]:.6g}, {end[0]:.6g}, {end[1]:.6g})"


def clicked(spot: Spot) -> str:
    """Click a point."""
    return f"mouse_click({spot[0]:.6g}, {spot[1]:.6g})"


async def one_shape(desk: Desk) -> str:
    """Drag it a little way in the direction that is asked for."""
    across, down = _WAYS[desk.asked(r"(left|right|up|down)")[0]]
    x, y = await desk.spot("svg > *")
    return "\n".join([dragged((x, y), (x + 15 * across, y + 15 * down)), await desk.click(SUBMIT)])


async def small_box(desk: Desk) -> str:
    left, top, right, bottom = await desk.box("#draggableLarge")
    inside = ((left + right) / 2, (top + bottom) / 2)
    return "\n".join([dragged(await desk.spot("#draggableSmall"), inside), await desk.click(SUBMIT)])


async def shapes_of_a_kind(desk: Desk) -> str:
    """What does not belong is dragged out of the box, then all of the kind into it."""
    tag = {"rectangles": "rect", "circles": "circle", "triangles": "polygon"}[desk.asked("all (\\w+) into")[0]]
    wanted = f"svg {tag}:not(#shape-container)"
    others = "svg :is(rect, circle, polygon):not(#shape-container)"
    box = await desk.box("#shape-container")
    outside = await _place_outside(desk, box)
    lines = []
    for nth in range(len(await desk.texts(wanted))):
        lines.append(dragged(await desk.spot(wanted, nth=nth), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)))
    for nth, apart in enumerate(await desk.read(f"[...document.querySelectorAll('{others}')].map(e => e.tagName)")):
        x, y = await desk.spot(others, nth=nth)
        if apart != tag and box[0] <= x <= box[2] and box[1] <= y <= box[3]:
            lines.insert(0, dragged((x, y), outside))
    return "\n".join([*lines, await desk.click(SUBMIT)])


async def _place_outside(desk: Desk, box: tuple[float, float, float, float]) -> Spot:
    """A corner of the drawing that is well away from the box."""
    left, top, right, bottom = await desk.box("svg")
    middle = (box[0] + box[2]) / 2
    return (left + 12 if middle > (left + right) / 2 else right - 12), (top + bottom) / 2


async def two_boxes(desk: Desk) -> str:
    """One kind or colour to the left, the rest to the right."""
    what = desk.asked(r"Drag all (.*?)(?: shapes)? into the left")[0]
    tag = {"rectangles": "rect", "circles": "circle", "triangles": "polygon"}.get(what)
    things = "svg :is(rect, circle, polygon):not(#shape-container)"
    kinds = await desk.read(f"[...document.querySelectorAll('{things}')].map(e => [e.tagName, e.getAttribute('fill')])")
    left, right = await desk.spot("#shape-container", nth=0), await desk.spot("#shape-container", nth=1)
    lines = []
    for nth, (kind, fill) in enumerate(kinds):
        lines.append(dragged(await desk.spot(things, nth=nth), left if what == fill or tag == kind else right))
    return "\n".join([*lines, await desk.click(SUBMIT)])


async def list_item(desk: Desk) -> str:
    """Drag an entry to its place: past the middle of the one that is there."""
    name, where = desk.asked(r"Drag (\w+) (.*)")
    names = await desk.texts("#sortable li")
    start = names.index(name)
    word = where.rstrip(".")
    steps = {"to the top": 0, "to the bottom": len(names) - 1, "down by one position": start + 1}
    steps["up by one position"] = start - 1
    end = steps[word] if word in steps else ordinal(word.split()[2])
    return await _sorted_to(desk, start, end)


async def grid_item(desk: Desk) -> str:
    name, where = desk.asked(r"Drag (\w+) (.*)\.")
    start = (await desk.texts("#sortable li")).index(name)
    away = {"up by one": -3, "down by one": 3, "left by one": -1, "right by one": 1}
    rows, columns = ("top", "", "bottom"), ("left", "", "right")
    words = where.removeprefix("to the ").split()
    row = next((rows.index(word) for word in words if word in rows), 1)
    column = next((columns.index(word) for word in words if word in columns), 1)
    return await _laid(desk, start, start + away[where] if where in away else 3 * row + column)


async def _laid(desk: Desk, start: int, end: int) -> str:
    """Over the target at once, then a little up or down: jQuery lays the entry before or behind it by this last way.

    The first point is in the half of the target where coming from the side does nothing yet.
    """
    x, y = await desk.spot("#sortable li", nth=start)
    right, down = await desk.spot("#sortable li", nth=end)
    way = 1 if end > start else -1
    return "\n".join(
        [
            f"mouse_down({x:.6g}, {y:.6g})",
            f"mouse_move({x + way:.6g}, {y + way:.6g})",
            f"mouse_move({right + 6 * way:.6g}, {down - 6 * way:.6g})",
            f"mouse_move({right + 6 * way:.6g}, {down + 8 * way:.6g})",
            f"mouse_up({right + 6 * way:.6g}, {down + 8 * way:.6g})",
        ]
    )


async def _sorted_to(desk: Desk, start: int, end: int) -> str:
    """The mouse goes to the middle of the target and a little on, where jQuery puts the entry in its place."""
    (x, y), (right, down) = await desk.spot("#sortable li", nth=start), await desk.spot("#sortable li", nth=end)
    further = 4 if end > start else -4
    return dragged((x, y), (right + (further if right != x else 0), down + (further if down != y else 0)))


async def sort_numbers(desk: Desk) -> str:
    """The first that is not in its place is dragged there, one a turn."""
    numbers = [int(text) for text in await desk.texts("#sortable li")]
    for end, number in enumerate(sorted(numbers)):
        if numbers[end] != number:
            return await _sorted_to(desk, numbers.index(number, end), end)
    return await desk.click(SUBMIT)


async def highlight(desk: Desk) -> str:
    """Drag over the paragraph, from before its first letter to behind its last."""
    nth = ordinal(desk.asked(r"(\d)\w\w paragraph")[0]) if "paragraph and" in desk.goal else 0
    start, end = await desk.read(_ENDS_OF_TEXT, nth)
    return "\n".join([dragged(start, end), await desk.click("#subbtn")])


async def resize(desk: Desk) -> str:
    size, direction = desk.asked(r"the (width|height) is (smaller|larger)")
    x, y = await desk.spot(".ui-resizable-se")
    by = 12 if direction == "larger" else -12
    end = (x + by, y) if size == "width" else (x, y + by)
    return "\n".join([dragged((x, y), end), await desk.click("#submit")])


async def circle_around(desk: Desk) -> str:
    """Sixteen steps around the mark with the button held down."""
    (x, y), (left, top, right, bottom) = await desk.spot("#circ"), await desk.box("svg")
    radius = min(x - left, right - x, y - top, bottom - y, 29) - 4
    points = [(x + radius * math.cos(a * math.pi / 8), y + radius * math.sin(a * math.pi / 8)) for a in range(17)]
    lines = [f"mouse_move({px:.6g}, {py:.6g})" for px, py in points[1:]]
    start, end = points[0], points[-1]
    return "\n".join(
        [
            f"mouse_down({start[0]:.6g}, {start[1]:.6g})",
            *lines,
            f"mouse_up({end[0]:.6g}, {end[1]:.6g})",
            await desk.click(SUBMIT),
        ]
    )


async def line(desk: Desk) -> str:
    x, y = await desk.spot("#circ")
    across, down = (20, 0) if "horizontal" in desk.goal else (0, 20)
    return "\n".join([dragged((x - across, y - down), (x + across, y + down)), await desk.click(SUBMIT)])


async def _marked(desk: Desk, spot: Spot) -> str:
    """Click so that the mark is set at a point of the drawing, and submit: these pages count from 50 below the top."""
    left, top, _, _ = await desk.box("svg")
    return "\n".join([clicked((spot[0] - left, spot[1] - top + 50)), await desk.click(SUBMIT)])


async def middle_of_circle(desk: Desk) -> str:
    return await _marked(desk, await desk.spot("svg circle"))


async def midpoint(desk: Desk) -> str:
    (x1, y1), (x2, y2) = await desk.spot(".black-circle", nth=0), await desk.spot(".black-circle", nth=1)
    return await _marked(desk, ((x1 + x2) / 2, (y1 + y2) / 2))


async def bisection(desk: Desk) -> str:
    """A point on the bisector of the angle between the two arms."""
    vertex = await desk.spot(".init-blue")
    arms = [await desk.spot(".init-black", nth=nth) for nth in (0, 1)]
    units = [_unit(vertex, arm) for arm in arms]
    towards = _unit((0, 0), (units[0][0] + units[1][0], units[0][1] + units[1][1]))
    return await _marked(desk, await _within(desk, vertex, towards))


async def right_angle(desk: Desk) -> str:
    """A point on the line through the blue point that stands upright on the one to the black point."""
    vertex, arm = await desk.spot("#init-blue"), await desk.spot("#init-black")
    across, down = _unit(vertex, arm)
    ways = [await _within(desk, vertex, towards) for towards in ((-down, across), (down, -across))]
    return await _marked(desk, max(ways, key=lambda spot: math.dist(spot, vertex)))


def _unit(start: Spot, end: Spot) -> Spot:
    length = math.dist(start, end)
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length


async def _within(desk: Desk, start: Spot, towards: Spot) -> Spot:
    """A point up to 40 pixels away in a direction, inside of the drawing."""
    left, top, right, bottom = await desk.box("svg")
    for length in range(40, 1, -1):
        x, y = start[0] + length * towards[0], start[1] + length * towards[1]
        if left + 4 <= x <= right - 4 and top + 4 <= y <= bottom - 4:
            return x, y
    return start


SOLUTIONS: dict[str, Solve] = {
    "bisect-angle": bisection,
    "circle-center": middle_of_circle,
    "drag-box": small_box,
    "drag-circle": one_shape,
    "drag-items": list_item,
    "drag-items-grid": grid_item,
    "drag-shapes": shapes_of_a_kind,
    "drag-shapes-2": two_boxes,
    "drag-single-shape": one_shape,
    "drag-sort-numbers": sort_numbers,
    "draw-circle": circle_around,
    "draw-line": line,
    "find-midpoint": midpoint,
    "highlight-text": highlight,
    "highlight-text-2": highlight,
    "resize-textarea": resize,
    "right-angle": right_angle,
}

_ENDS_OF_TEXT = """nth => {
  const text = document.querySelectorAll('#randomText p')[nth] || document.querySelector('#randomText');
  const range = document.createRange();
  range.selectNodeContents(text);
  const lines = [...range.getClientRects()], first = lines[0], last = lines[lines.length - 1];
  return [[first.left + 0.5, first.top + first.height / 2], [last.right + 3, last.top + last.height / 2]];
}"""
"""(nth) -> where a paragraph's text begins and ends."""
