"""JSON data that comes from outside (an environment's info, a provider's own fields), kept without loss.

JSON has no infinities and no NaN: they are written `{"$float": "inf"}`, `{"$float": "-inf"}` and
`{"$float": "nan"}`. An object whose only key really is `$float` is written as
`{"$float": {"literal": …}}`, so that reading always gives back what was written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

from arena.core.text import clean

_DEPTH = 100
_SMALL = 1 << 63
_TAG = "$float"
_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def plain(value: Any, where: str = "the value", depth: int = 0) -> Any:
    """A copy made of dict, list, str, int, float, bool and None only, its text valid Unicode.

    Tuples and NumPy arrays become lists, NumPy scalars numbers, integer keys text; NaN and infinities stay.

    Raises:
        ValueError: says where something stands that is not JSON data, or is nested more than 100 deep.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else clean(value)[0]
    if value is None or kind is bool or kind is float or (kind is int and -_SMALL < value < _SMALL):
        return value
    if depth > _DEPTH:
        raise ValueError(f"{where} is nested more than {_DEPTH} deep.")
    if isinstance(value, Mapping):
        return {_key(k, where): plain(v, f"{where}[{k!r}]", depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, int):
        if value.bit_length() > 10_000:
            raise ValueError(f"{where} is an integer of more than 10,000 bits.")
        return int(value)
    if isinstance(value, str):
        return clean(str.__str__(value))[0]
    if isinstance(value, float):
        return float(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), where, depth + 1)
    raise ValueError(f"{where} is a {kind.__name__}, which is not JSON data.")


def _key(key: Any, where: str) -> str:
    if isinstance(key, str):
        return clean(str.__str__(key))[0]
    if isinstance(key, int):
        return str(int(key))
    raise ValueError(f"{where} has the key {key!r}; keys are text.")


def encode(value: Any) -> Any:
    """Plain data as JSON can hold it; returns the same object where nothing needs to change."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else {_TAG: str(value)}
    if kind is dict:
        changed = {k: new for k, v in value.items() if (new := encode(v)) is not v}
        result = {**value, **changed} if changed else value
        return {_TAG: {"literal": result[_TAG]}} if len(result) == 1 and _TAG in result else result
    if kind is list:
        items = [encode(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    kind = type(value)
    if kind is dict:
        if len(value) == 1 and _TAG in value:
            return _decode_tagged(value[_TAG])
        return {k: decode(v) for k, v in value.items()}
    if kind is list:
        return [decode(item) for item in value]
    return value


def _decode_tagged(tagged: Any) -> Any:
    if isinstance(tagged, dict) and list(tagged) == ["literal"]:
        return {_TAG: decode(tagged["literal"])}
    if isinstance(tagged, str) and tagged in _FLOATS:
        return _FLOATS[tagged]
    raise ValueError(f"{tagged!r:.100} is not a float that JSON cannot hold; expected one of {', '.join(_FLOATS)}.")


def _enter(value: Any, info: ValidationInfo) -> Any:
    if info.mode == "json":
        return decode(value)
    return plain(value, info.field_name or "the value") if isinstance(value, Mapping) else value


JsonObject = Annotated[
    dict[str, Any],
    BeforeValidator(_enter),
    PlainSerializer(encode, return_type=dict[str, Any], when_used="json"),
]
"""A field that holds a JSON object from outside: made plain where it enters, written without loss."""
