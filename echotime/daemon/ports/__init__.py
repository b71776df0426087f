"""The ports as services: built, opened, changed while the daemon runs, and written to a file."""
