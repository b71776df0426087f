"""Call adjtimex(2) through ctypes, which a Python may lack."""

from __future__ import annotations

import ctypes
import errno
import os

STA_UNSYNC = 0x0040
"""Set in `status` by the kernel if no program has disciplined the clock for hours."""
_LONG = ctypes.c_long


class Timex(ctypes.Structure):
    """Map struct timex of the C library."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        *((name, _LONG) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, _LONG) for name in ("constant", "precision", "tolerance", "time_sec", "time_usec", "tick")),
        # statistics of pulses per second, the TAI offset, and reserved bytes
        ("rest", ctypes.c_byte * 128),
    ]


def read_timex() -> Timex:
    """Return the kernel's clock variables. Reading needs no privilege. Raises OSError."""
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if adjtimex is None:
        raise OSError(errno.ENOSYS, "this system has no adjtimex(2)")
    timex = Timex()
    if adjtimex(ctypes.byref(timex)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return timex
