"""Interfaces to systemd and the kernel: inherited sockets, sd_notify(3), the journal, the clock state."""
