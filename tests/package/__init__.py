"""Test the Debian package under a real systemd, which `make test-deb` boots in a container; see container.py."""
