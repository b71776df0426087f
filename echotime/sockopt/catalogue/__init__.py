"""The rows of the catalogue, a module a purpose: data only.

Numbers are Linux's (x86, arm). Sources: socket(7), tcp(7), udp(7), ip(7), ipv6(7), RFC 3493, RFC 3542, and the
kernel itself (6.18), against which tests/unit/test_catalogue.py holds every row.
"""
