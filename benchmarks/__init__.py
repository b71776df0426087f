"""What the services cost, beside others that do the same: `make bench`, or `python -m benchmarks --help`.

Not part of the package that is installed.
"""
