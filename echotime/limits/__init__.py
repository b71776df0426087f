"""Limits on clients: access lists, sources, connection limits, UDP rate, loops, log lines."""
