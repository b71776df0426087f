"""Provide what all kinds of tests share: processes, networks, reactors, clients and models."""
