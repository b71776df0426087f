"""Encode and check what is on the wire, and convert peers' bytes and addresses to text and back.

Every function here is pure: this package uses no Twisted, no socket and no clock.
"""
