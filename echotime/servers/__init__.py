"""The two services as Twisted factories and protocols, and what they need around them.

Protocols see a transport and nothing below it, so they run on StringTransport as well as on our ports.
"""
