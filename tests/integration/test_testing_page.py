"""Run the examples of docs/testing.md, which are complete files of tests, as their reader would."""

from __future__ import annotations

from tests.support.pytest_case import PytestCase
from tests.support.tutorial import page, programs


class TestingPageTests(PytestCase):
    """Run all files of the page in one session."""

    def test_examples(self) -> None:
        """Every test of the page passes, and none is skipped."""
        files = programs(page("testing"))
        self.assertEqual(list(files), ["test_retries.py", "test_frames.py", "test_request.py"])
        for name, source in files.items():
            self.write(source, name)
        self.run_pytest(passed=11)
