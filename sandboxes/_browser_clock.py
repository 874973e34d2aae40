"""The pages' clock: it stands still, and when it is moved on, timers run in their order, however fast the machine is.

Playwright's own clock does the same for a test of a few steps, but starts a document a few real milliseconds off
and keeps one more script for every move, which a context that lives for a thousand episodes cannot afford.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from playwright.async_api import BrowserContext, Error, Frame, Page

__all__ = ["PageClock"]


class PageClock:
    """The clock of all pages of a context.

    Args:
        context: the context.
        start: milliseconds since 1970.
    """

    def __init__(self, context: BrowserContext, start: int) -> None:
        self._context = context
        self._now = start
        self._told: contextlib.AbstractAsyncContextManager[object] | None = None

    async def begin(self) -> None:
        """Stop the clock of every document from now on."""
        await self._context.add_init_script(_CLOCK.replace("START", str(self._now)))

    async def advance(self, pages: Iterable[Page], milliseconds: int) -> None:
        """Move the clock on in all documents, and have new ones start from there."""
        self._now += milliseconds
        frames = [frame for page in pages for frame in page.frames]
        await asyncio.gather(self._tell_new_documents(), *(self._move(frame) for frame in frames))

    async def _move(self, frame: Frame) -> None:
        with contextlib.suppress(Error):  # a frame that is gone; a crash is noticed by the session
            await frame.evaluate("now => globalThis[Symbol.for('arena.clock')]?.reach(now)", self._now)

    async def _tell_new_documents(self) -> None:
        script = f"globalThis[Symbol.for('arena.clock')]?.begin({self._now})"
        told, self._told = self._told, await self._context.add_init_script(script)
        if told is not None:
            await told.__aexit__(None, None, None)


_CLOCK = """
(() => {
  const name = Symbol.for('arena.clock');
  if (globalThis[name]) return;
  const RealDate = Date, channel = new MessageChannel(), report = globalThis.reportError?.bind(globalThis);
  const turn = () => new Promise(done => { channel.port1.onmessage = () => done(); channel.port2.postMessage(0); });
  let now = START, begun = now, last = 0;
  const timers = new Map();

  function add(callback, rest, delay, every, frame) {
    const wait = Math.max(1, Math.min(Number(delay) || 0, 2147483647));
    const at = frame ? now + 16 - (now - begun) % 16 : now + wait;
    timers.set(++last, {at, order: last, wait, every, callback, rest});
    return last;
  }
  function run(timer, values) {
    try {
      if (typeof timer.callback === 'function') timer.callback.apply(globalThis, values);
      else (0, eval)(String(timer.callback));
    } catch (error) { report?.(error); }
  }
  function next(until) {
    let first = null;
    const before = (one, other) => one.at < other.at || (one.at === other.at && one.order < other.order);
    for (const [id, timer] of timers)
      if (timer.at <= until && (!first || before(timer, first[1]))) first = [id, timer];
    return first;
  }
  async function reach(until) {
    for (let found; (found = next(until)); await turn()) {
      const [id, timer] = found;
      now = Math.max(now, timer.at);
      if (timer.every) { timer.at = now + timer.wait; timer.order = ++last; } else timers.delete(id);
      run(timer, timer.rest === null ? [now - begun] : timer.rest);
    }
    now = Math.max(now, until);
  }

  function ClockDate(...parts) {
    if (!new.target) return new RealDate(now).toString();
    return Reflect.construct(RealDate, parts.length ? parts : [now], new.target);
  }
  ClockDate.prototype = RealDate.prototype;
  Object.setPrototypeOf(ClockDate, RealDate);
  const own = {name: {value: 'Date'}, length: {value: 7}, now: {value: () => now, writable: true}};
  Object.defineProperties(ClockDate, own);
  RealDate.prototype.constructor = ClockDate;
  globalThis.Date = ClockDate;
  const clear = id => { timers.delete(Number(id)); };
  const idle = {didTimeout: false, timeRemaining: () => 50};
  Object.assign(globalThis, {
    setTimeout: (callback, delay, ...rest) => add(callback, rest, delay, false, false),
    setInterval: (callback, delay, ...rest) => add(callback, rest, delay, true, false),
    requestAnimationFrame: callback => add(callback, null, 0, false, true),
    requestIdleCallback: callback => add(callback, [idle], 1, false, false),
    clearTimeout: clear, clearInterval: clear, cancelAnimationFrame: clear, cancelIdleCallback: clear,
  });
  performance.now = () => now - begun;
  Object.defineProperty(globalThis, name, {value: Object.freeze({reach, begin: time => { now = begun = time; }})});
})()
"""
"""A stopped `Date`, `performance.now`, timers and frames (one in 16 ms) for one document."""
