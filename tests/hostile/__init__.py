"""The hostile world, for the integration tests, for `make attack` and for `make soak`.

Hosts in network namespaces, forged packets, faulty paths, attacks that measure, and a soak. No tests of their own.
"""
