"""The units under a real systemd, which `make test-systemd` boots in a container of its own; see container.py."""
