"""Text is made valid Unicode once, where it enters."""

from __future__ import annotations


def clean(text: str) -> tuple[str, int]:
    """Replace lone surrogates by U+FFFD.

    Returns:
        The valid text and how many characters were replaced.
    """
    if text.isascii():
        return text, 0
    try:
        text.encode()
    except UnicodeEncodeError:
        replaced = sum("\ud800" <= character <= "\udfff" for character in text)
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text), replaced
    return text, 0


def shorten(text: str, limit: int) -> str:
    """The text on one line in at most `limit` characters, the cut marked by an ellipsis."""
    head = text[: limit * 4]
    line = " ".join(head.split())
    whole = len(line) <= limit and (len(head) == len(text) or text[len(head) :].isspace())
    return line if whole else line[: limit - 1] + "…"
