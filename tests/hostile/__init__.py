"""Provide hostile networks and clients for the integration tests, `make attack` and `make soak`.

There are hosts in network namespaces, forged packets, faulty paths, attacks that measure, and a soak, but no tests.
"""
