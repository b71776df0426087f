"""The daemon: its options, and the services that hold the ports from start to stop."""
