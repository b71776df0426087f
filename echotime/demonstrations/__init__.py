"""Short experiments on loopback that show what a socket option does, with real sockets.

Each is a function that yields what it does and what came of it, so that a person can watch and a test can hold it
against what was expected. None needs privileges, leaves this host or takes longer than two seconds or so.
"""
