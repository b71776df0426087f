"""Provide what tests of every kind share: processes, networks, reactors, clients and models."""
