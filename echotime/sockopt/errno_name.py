"""Name an errno as the man pages do, and find one by its name."""

from __future__ import annotations

import errno

# names that share a number: errno.errorcode has the other one
_AS_IN_MAN_PAGES = {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EAGAIN: "EAGAIN"}


def errno_name(error: OSError) -> str:
    """Return a name such as ``EINVAL``, or the number if it has none; ETIMEDOUT for a Python socket timeout."""
    number = errno.ETIMEDOUT if error.errno is None else error.errno
    return _AS_IN_MAN_PAGES.get(number) or errno.errorcode.get(number, str(number))


def errno_number(name: str) -> int | None:
    """Return the errno of a name such as ``EINVAL``, or None if it is not one."""
    number = getattr(errno, name, None) if name.startswith("E") else None
    return number if isinstance(number, int) else None
