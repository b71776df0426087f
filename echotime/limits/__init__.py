"""What clients may use: access lists, sources, connection limits, UDP rate, loops, log lines."""
