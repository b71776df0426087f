"""HTTP: metrics, health, and a page where operators see the daemon and reply."""
