"""Test one module at a time, with no network but loopback."""
