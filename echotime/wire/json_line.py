"""Write JSON for --json and --record. Fields are only added to. Spans of time are in seconds."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from echotime.wire.escape import escape

_DIGITS = 6
"""Digits after the point: microseconds, where a float has up to 17 digits that mean nothing."""


def format_json(value: Any, indent: int | None = None) -> str:
    """Return JSON with rounded numbers, and with bytes as escaped text."""
    return json.dumps(_rounded(value), default=escape, indent=indent)


def format_utc(seconds: float) -> str:
    """Return a time of the system clock in UTC, in the form of ISO 8601, with microseconds."""
    whole = int(seconds // 1)
    return f"{_format_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@lru_cache(4)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).isoformat()[: len("2026-01-01T00:00:00")]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
