"""The name of an errno, as the man pages have it."""

from __future__ import annotations

import errno

# where several names share a number, Python knows the other one
_AS_IN_MAN_PAGES = {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EAGAIN: "EAGAIN"}


def errno_name(error: OSError) -> str:
    """Such as ``EINVAL``; the number where there is no name, and ETIMEDOUT for Python's own time limit."""
    number = errno.ETIMEDOUT if error.errno is None else error.errno
    return _AS_IN_MAN_PAGES.get(number) or errno.errorcode.get(number, str(number))
