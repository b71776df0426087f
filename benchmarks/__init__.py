"""Measure the cost of the services beside other servers: `make bench`, or `python -m benchmarks --help`.

Not part of the installed package.
"""
