"""Tests of the image and of etc/kubernetes with buildah and podman: make test-image."""
