"""Behaviors that listeners of --behave have on request: faults of a peer, of the network, and reports."""
