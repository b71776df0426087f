"""The operator's desk: messages that wait for a person's word, the terminal and the control socket they answer from.

Knows the services only through servers/; what it tells of ports and sockets comes by the interface in overview.py.
"""
