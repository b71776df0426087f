"""Write JSON for --json. Fields are only added to; times are in seconds."""

from __future__ import annotations

import json
from typing import Any

from echotime.wire.escape import escape

_DIGITS = 6
"""Digits after the point: microseconds, where a float has up to 17 digits that mean nothing."""


def format_json(value: Any, indent: int | None = None) -> str:
    """Return JSON with rounded numbers, and with bytes as escaped text."""
    return json.dumps(_rounded(value), default=escape, indent=indent)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
