"""Client factories and protocols: the echo client, the time client, the pings. They print nothing."""
