"""What was installed, to be removed again, and to be told from what an administrator made of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

_NAME = "installed.json"


@dataclass
class Record:
    """Paths are without DESTDIR."""

    files: dict[str, str] = field(default_factory=dict)
    """What each held, as a mark."""
    configuration: dict[str, str] = field(default_factory=dict)
    """The same of those that may be edited: what was last brought, and not what stands there."""
    folders: list[str] = field(default_factory=list)
    """That were made for them."""
    environments: list[str] = field(default_factory=list)

    def write(self, home: Path) -> None:
        """In one step."""
        new = home / f"{_NAME}.new"
        new.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        new.replace(home / _NAME)


def read(home: Path) -> Record | None:
    """None if nothing is installed."""
    try:
        text = (home / _NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Record(**json.loads(text))


def forget(home: Path) -> None:
    """Nothing is installed any more."""
    (home / _NAME).unlink(missing_ok=True)


def mark(content: bytes) -> str:
    """Of a content, to compare it with another."""
    return hashlib.sha256(content).hexdigest()


def marked(path: Path) -> str | None:
    """Of what stands there; None if nothing does."""
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return mark(path.read_bytes()) if path.exists() else None
