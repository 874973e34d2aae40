"""What the browser of an episode is like, and the ways in which a page can end it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arena.core.errors import UsageError
from arena.sandboxes._browser_network import origin_of

__all__ = ["BrowserSpec", "PageBroken", "Reason"]

Reason = Literal["camera", "crashed", "hung", "memory", "printed", "tabs", "time_to_live"]

_WORDS: dict[Reason, str] = {
    "camera": "The page asked for the camera or the microphone, and was closed.",
    "crashed": "The page crashed.",
    "hung": "The page did not answer any more and was closed.",
    "memory": "The page used more memory than it may and was closed.",
    "printed": "The page wanted to print, and was closed.",
    "tabs": "The page opened more tabs than there may be, and the browser was closed.",
    "time_to_live": "The browser was open longer than it may be and was closed.",
}


@dataclass(frozen=True)
class BrowserSpec:
    """What the browser of an episode is like and what it may use; plain data.

    Raises:
        UsageError: a limit that is not positive, or an origin that is none.
    """

    viewport: tuple[int, int] = (1280, 720)
    """Width and height of the window in CSS pixels."""
    scale: float = 1.0
    """Pixels of a screenshot per CSS pixel."""
    clock: float | None = 1767603600.0
    """The time at which the pages' clock stands at first, in seconds since 1970; it moves only with `settle` and
    `pass_time`. None: the real clock, which makes replay inexact."""
    tick: int = 500
    """Milliseconds by which the pages' clock moves while a page settles after an action."""
    network: tuple[str, ...] = ()
    """Origins of the real network that may be reached, such as `https://example.org`; all else is refused."""
    locale: str = "en-GB"
    timezone: str = "UTC"
    seed: int = 0
    """What the pages' `Math.random` starts from."""
    tabs: int = 10
    """How many tabs there may be at once."""
    timeout: float = 20.0
    """Seconds a page may take to answer before it counts as hung."""
    settling: float = 15.0
    """Seconds a page may go on loading after an action before it is observed as it is."""
    time_to_live: float = 1800.0
    """Seconds after which the browser is closed, whatever happens."""
    tolerates: tuple[Literal["camera", "printed"], ...] = ()
    """What a page may try without being closed for it: to use the camera, to print. It is refused all the same."""

    def __post_init__(self) -> None:
        for name in ("scale", "tick", "tabs", "timeout", "settling", "time_to_live"):
            if not getattr(self, name) > 0:
                raise UsageError(f"BrowserSpec.{name} must be positive, not {getattr(self, name)!r}.")
        for deed in self.tolerates:
            if deed not in ("camera", "printed"):
                raise UsageError(f"BrowserSpec.tolerates names camera or printed, not {deed!r}.")
        if len(self.viewport) != 2 or not all(16 <= side <= 8192 for side in self.viewport):
            raise UsageError(f"BrowserSpec.viewport is a width and a height from 16 to 8192, not {self.viewport!r}.")
        for origin in self.network:
            if origin != origin_of(origin) or not origin.startswith(("http://", "https://")):
                raise UsageError(f"{origin!r} is no origin: write it as https://example.org, without a path.")


class PageBroken(Exception):
    """A page did something that ends its episode; no error of Arena's, but a result to be graded.

    Attributes:
        reason: `crashed`, or which limit it ran into.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(_WORDS[reason])
        self.reason = reason
