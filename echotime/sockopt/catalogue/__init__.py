"""The rows of the catalogue, one module per chapter: data only.

Numbers are those of Linux on x86 and arm. Sources: socket(7), tcp(7), udp(7), ip(7), ipv6(7), RFC 3493, RFC 3542, and
the kernel itself (6.18): tests/unit/test_catalogue.py checks every row against the running kernel.
"""
