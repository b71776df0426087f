"""Whether the clock is worth telling: what the kernel says of its synchronization (adjtimex(2), RFC 5905)."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

_STA_UNSYNC = 0x0040
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
    max_error: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.synchronized is None:
            return f"unknown: {self.reason}"
        return f"synchronized, off by at most {self.max_error:.3f} s" if self.synchronized else "not synchronized"


def read_adjtimex() -> ClockState:
    """How it is now. Reading takes no privilege, but a filter of system calls may forbid it."""
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if adjtimex is None:
        return ClockState(None, reason="this system does not tell")
    timex = _Timex()
    if adjtimex(ctypes.byref(timex)) < 0:
        error_number = ctypes.get_errno()
        # reading takes no privilege
        hint = ", by a filter of system calls (ProtectClock= of systemd)" if error_number == errno.EPERM else ""
        return ClockState(None, reason=f"{os.strerror(error_number)}{hint}")
    return ClockState(not timex.status & _STA_UNSYNC, timex.maxerror / 1e6)
