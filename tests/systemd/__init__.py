"""Test the units under a real systemd, which `make test-systemd` boots in a container; see container.py."""
