"""Where a key is, without ever holding it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from arena.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Key:
    """A key in an environment variable: this object knows the variable and how the key is sent, not its value."""

    variable: str
    header: str = "authorization"
    prefix: str = "Bearer "

    def headers(self) -> dict[str, str]:
        """The header that carries the key.

        Raises:
            UsageError: the variable holds no usable key.
        """
        value = self._value()
        if not value:
            raise UsageError(f"The variable {self.variable} is not set. Set it to the key: export {self.variable}=…")
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"The variable {self.variable} holds characters that no key has. Copy the key again.")
        return {self.header: self.prefix + value}

    def hide(self, text: str) -> str:
        """The text without the key, should a server repeat it."""
        value = self._value()
        return text.replace(value, f"[{self.variable}]") if value else text

    def _value(self) -> str:
        return os.environ.get(self.variable, "").strip()
