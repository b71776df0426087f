"""The health check: probes of the daemon's own listeners, queue progress, and systemd's watchdog."""
