"""Test echotime: unit tests (pytest, pytest-twisted) and integration tests (trial TestCases against a real daemon)."""
