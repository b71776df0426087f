"""The health check: probes of the daemon's own listeners, queue progress, systemd's watchdog."""
