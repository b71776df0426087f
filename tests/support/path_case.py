"""Run `echotime path` against listeners that a test starts, and read what it found."""

from __future__ import annotations

import json
from typing import Any

from tests.support.tool_case import ENGLISH, ToolTestCase
from tests.support.veth_pair import SERVER

QUICK = ("--idle-limit", "0.2")
"""Arguments that keep a run short."""


class PathCase(ToolTestCase):
    """Run the tool, and read its JSON."""

    def path(self, server: str, *args: str, language: dict[str, str] = ENGLISH) -> dict[str, Any]:
        """Return what `path --json` prints. Assert that its status tells if there are findings."""
        ended = self.tool("path", "--json", *QUICK, *args, server, language=language)
        self.assertEqual(ended.stderr, b"")
        found: dict[str, Any] = json.loads(ended.stdout)
        self.assertEqual(ended.returncode, 1 if found["findings"] else 0)
        return found

    def ids(self, found: dict[str, Any]) -> set[str]:
        """Return the names of all findings, and assert that each is explained."""
        for each in found["findings"]:
            self.assertTrue(each["seen"] and each["means"] and each["cause"])
            self.assertLessEqual(2 if each["runs"] > 1 else 1, each["times"])
        return {each["id"] for each in found["findings"]}

    @staticmethod
    def untested(found: dict[str, Any]) -> set[str]:
        """Return the names of the tests that were not carried out."""
        return {each["test"] for each in found["tests"] if each["result"] == "untested"}

    def behaving(self, behavior: str, *args: str, prefix: tuple[str, ...] = ()) -> str:
        """Return HOST:PORT of a listener with a behavior."""
        host = SERVER if prefix else "127.0.0.1"
        daemon = self.echotime("--behave", f"{host}:0={behavior}", *args, prefix=prefix)
        return f"{host}:" + daemon.line(rf"TCP {host}:(\d+), which misbehaves")[1]
