"""Our tcp.Port, tcp.Server and udp.Port: where socket options are set and datagrams are answered.

Knows echotime.sockopt and Twisted, not the services: a port is given a factory or a protocol.
"""
