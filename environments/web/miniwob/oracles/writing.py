"""Pages that want something written: as it is told, found on the page, or worked out."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from arena.environments.web.miniwob.oracles._desk import Desk, Solve, ordinal

__all__ = ["SOLUTIONS"]

Answer = Callable[[Desk], Coroutine[Any, Any, str]]


def writes(selector: str, answer: Answer) -> Solve:
    """Write what `answer` finds into a field, and submit."""

    async def solve(desk: Desk) -> str:
        return "\n".join([await desk.fill(selector, await answer(desk)), await desk.click("#subbtn")])

    return solve


async def told(desk: Desk) -> str:
    return desk.quoted()[0]


async def other_case(desk: Desk) -> str:
    word = desk.quoted()[0]
    return word.upper() if "upper case" in desk.goal else word.lower()


async def date(desk: Desk) -> str:
    month, day, year = desk.asked(r"(\d+)/(\d+)/(\d+)")
    return f"{year}-{month}-{day}"


async def time(desk: Desk) -> str:
    return desk.asked(r"(\d+:\d+)")[0]


async def nth_word(desk: Desk) -> str:
    words = (await desk.text("#area p")).split()
    return re.sub("[^a-zA-Z]", "", words[ordinal(desk.asked(r"(\d+)\w\w word")[0])])


async def last_word(desk: Desk) -> str:
    return re.sub("[^a-zA-Z0-9]", "", (await desk.text("#text-area")).split()[-1])


async def captcha(desk: Desk) -> str:
    return await desk.text("#captcha")


async def sum_of_two(desk: Desk) -> str:
    one, sign, other = re.match(r"(\d+) (.) (\d+)", await desk.text("#math-problem")).groups()  # type: ignore[union-attr]
    return str({"+": int(one) + int(other), "-": int(one) - int(other), "x": int(one) * int(other)}[sign])


async def unknown(desk: Desk) -> str:
    one, sign, other, total = re.match(r"(\w+) (.) (\w+) = (\d+)", await desk.text("#math-problem")).groups()  # type: ignore[union-attr]
    if one == "x":
        return str(int(total) - int(other) if sign == "+" else int(total) + int(other))
    return str(int(total) - int(one) if sign == "+" else int(one) - int(total))


async def blocks(desk: Desk) -> str:
    return str(len(await desk.texts(".addition-block")))


async def cell(desk: Desk) -> str:
    return (await _table(desk))[desk.asked("value of (.*) into")[0]]


async def copied(desk: Desk) -> str:
    nth = ordinal(desk.asked(r"(\d)\w\w text area")[0]) if "text area below" in desk.goal else 0
    return str(await desk.read("n => document.querySelectorAll('#area textarea')[n].value", nth))


async def cells(desk: Desk) -> str:
    """Two labels, two values."""
    table = await _table(desk)
    labels = [label.removesuffix(":") for label in await desk.texts("#form label")]
    lines = [await desk.fill("#form input", table[label], nth) for nth, label in enumerate(labels)]
    return "\n".join([*lines, await desk.click("#subbtn")])


async def _table(desk: Desk) -> dict[str, str]:
    values = await desk.texts("#tab td")
    return dict(zip(values[::2], values[1::2], strict=True))


async def password(desk: Desk) -> str:
    word = desk.quoted()[0]
    return "\n".join(
        [await desk.fill("#password", word), await desk.fill("#verify", word), await desk.click("#subbtn")]
    )


async def log_in(desk: Desk) -> str:
    """A box may come up in between: it is sent away, and what it kept from being written is written again."""
    if await desk.has("#popup-cancel"):
        return await desk.click("#popup-cancel")
    user, word = desk.quoted()
    return "\n".join(
        [await desk.fill("#username", user), await desk.fill("#password", word), await desk.click("#subbtn")]
    )


async def radio_and_text(desk: Desk) -> str:
    radio, number, field = desk.asked(r'the (\d)\w\w radio button and enter the number "(.*)" into the (\d)')
    return "\n".join(
        [
            await desk.click("#area input[type=radio]", nth=ordinal(radio)),
            await desk.fill("#area input[type=text]", number, ordinal(field)),
            await desk.click("#subbtn"),
        ]
    )


SOLUTIONS: dict[str, Solve] = {
    "copy-paste": writes("#answer-input", copied),
    "copy-paste-2": writes("#answer-input", copied),
    "enter-date": writes("#tt", date),
    "enter-password": password,
    "enter-text": writes("#tt", told),
    "enter-text-2": writes("#tt", other_case),
    "enter-text-dynamic": writes("#tt", told),
    "enter-time": writes("#tt", time),
    "find-word": writes("#answer-input", nth_word),
    "form-sequence-2": radio_and_text,
    "login-user": log_in,
    "login-user-popup": log_in,
    "read-table": writes("#tt", cell),
    "read-table-2": cells,
    "scroll-text": writes("#answer-input", last_word),
    "simple-algebra": writes("#math-answer", unknown),
    "simple-arithmetic": writes("#math-answer", sum_of_two),
    "text-transform": writes("#tt", captcha),
    "visual-addition": writes("#math-answer", blocks),
}
