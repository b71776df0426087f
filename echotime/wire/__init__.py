"""Bytes in, bytes out: what stands on the wire, and peers' bytes and addresses as text.

Holds no Twisted, no socket and no clock: every function here is pure.
"""
