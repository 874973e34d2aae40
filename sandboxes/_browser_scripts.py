"""Scripts that every document of an episode starts with, and one that leaves nothing behind."""

from __future__ import annotations

__all__ = ["ASKED", "FORGET", "REFUSED", "SEEDED", "STILL"]

STILL = """
(() => { const still = new CSSStyleSheet();
  still.replaceSync(`*, ::before, ::after { animation-duration: 1ms !important; animation-delay: 0s !important;
    animation-iteration-count: 1 !important; transition-duration: 1ms !important; transition-delay: 0s !important;
    scroll-behavior: auto !important; caret-color: transparent !important }`);
  document.adoptedStyleSheets = [still] })()
"""
"""Animations come to their end at once."""

SEEDED = """
(() => { let state = SEED;
  Math.random = () => { state = state + 0x6D2B79F5 | 0; let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t; return ((t ^ t >>> 14) >>> 0) / 4294967296; } })()
"""
"""A seeded `Math.random` (mulberry32)."""

ASKED = "__arenaAsked"
"""A function of every document, which tells the session what a page tried."""

REFUSED = f"""
(() => {{ const tell = deed => globalThis.{ASKED}?.(deed), own = {{ writable: true, configurable: true }};
  Object.defineProperty(globalThis, 'print', {{ ...own, value: function print() {{ tell('printed') }} }});
  for (const name of ['getUserMedia', 'getDisplayMedia']) if (globalThis.MediaDevices)
    Object.defineProperty(MediaDevices.prototype, name, {{ ...own, async value() {{ tell('camera');
      throw new DOMException('Permission denied', 'NotAllowedError') }} }}) }})()
"""
"""Printing and recording do nothing but tell."""

FORGET = """
(async () => { try { localStorage.clear(); sessionStorage.clear(); window.name = '';
  for (const base of await indexedDB.databases()) indexedDB.deleteDatabase(base.name);
  for (const name of await caches.keys()) await caches.delete(name) } catch { } })()
"""
"""Empties what a page may have stored."""
