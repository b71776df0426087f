"""Read from the kernel whether the clock is synchronized (adjtimex(2), RFC 5905)."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

_STA_UNSYNC = 0x0040
"""STA_UNSYNC: no NTP client has adjusted the clock, or none for hours."""
_LONG = ctypes.c_long


class _Timex(ctypes.Structure):
    _fields_ = [
        ("modes", ctypes.c_uint),
        *((name, _LONG) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, _LONG) for name in ("constant", "precision", "tolerance", "time_sec", "time_usec", "tick")),
        # pulses per second, the offset to TAI, and padding
        ("rest", ctypes.c_byte * 128),
    ]


class ClockState(NamedTuple):
    """Hold the synchronization state of the clock."""

    synchronized: bool | None
    """None if the state is unknown."""
    max_error: float = 0.0
    """Maximum error in seconds (maxerror of adjtimex(2))."""
    reason: str = ""
    """The reason for an unknown state."""

    def __str__(self) -> str:
        if self.synchronized is None:
            return f"unknown: {self.reason}"
        return f"synchronized, off by at most {self.max_error:.3f} s" if self.synchronized else "not synchronized"


def read_adjtimex() -> ClockState:
    """Return the current state of the clock. Reading needs no privilege, but a system call filter may forbid it."""
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if adjtimex is None:
        return ClockState(None, reason="adjtimex(2) is not available")
    timex = _Timex()
    if adjtimex(ctypes.byref(timex)) < 0:
        error_number = ctypes.get_errno()
        # reading needs no privilege, so EPERM comes from a filter
        hint = ", by a filter of system calls (ProtectClock= of systemd)" if error_number == errno.EPERM else ""
        return ClockState(None, reason=f"{os.strerror(error_number)}{hint}")
    return ClockState(not timex.status & _STA_UNSYNC, timex.maxerror / 1e6)
