"""The Debian package under a real systemd, which `make test-deb` boots in a container of its own; see container.py."""
