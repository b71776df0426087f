"""Read the findings that docs/path.md expects."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "path.md"


def documented(row: str) -> set[str]:
    """Return the findings of the only row with this name."""
    (found,) = re.findall(rf"^\| {re.escape(row)} \| (.*) \|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return set(re.findall(r"`([a-z-]+)`", found))
