"""The daemon's services: listeners, start, shutdown, reload, log output and reports."""
