"""What systemd passes in and is told: inherited sockets, sd_notify(3), the journal."""
