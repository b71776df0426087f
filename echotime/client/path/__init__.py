"""Find out what the path between a client and a server does to connections and datagrams.

Each experiment is a module: what it sends, and a pure function that makes findings of what was observed.
"""
