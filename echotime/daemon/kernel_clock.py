"""Whether the clock is worth telling: what the kernel says of its synchronization (adjtimex(2), RFC 5905)."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

_UNSYNCHRONIZED = 0x0040
"""STA_UNSYNC: nobody disciplines the clock, or whoever did has not for hours."""
_LONG = ctypes.c_long


class _Timex(ctypes.Structure):
    """struct timex."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        *((name, _LONG) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, _LONG) for name in ("constant", "precision", "tolerance", "time_sec", "time_usec", "tick")),
        # pulses per second, the difference to TAI, and room for more
        ("rest", ctypes.c_byte * 128),
    ]


class ClockState(NamedTuple):
    """`synchronized` is None where the kernel does not tell, for that `reason`; `error` is the most it is off, in s."""

    synchronized: bool | None
    error: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.synchronized is None:
            return f"unknown: {self.reason}"
        return f"synchronized, off by at most {self.error:.3f} s" if self.synchronized else "not synchronized"


def clock_state() -> ClockState:
    """How it is now. Reading takes no privilege, but a filter of system calls may forbid it."""
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if adjtimex is None:
        return ClockState(None, reason="this system does not tell")
    found = _Timex()
    if adjtimex(ctypes.byref(found)) < 0:
        number = ctypes.get_errno()
        # reading takes no privilege
        why = ", by a filter of system calls (ProtectClock= of systemd)" if number == errno.EPERM else ""
        return ClockState(None, reason=f"{os.strerror(number)}{why}")
    return ClockState(not found.status & _UNSYNCHRONIZED, found.maxerror / 1e6)
