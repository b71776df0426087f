"""The tests: unit (pytest, pytest-twisted) and integration (trial TestCases against the real daemon)."""
