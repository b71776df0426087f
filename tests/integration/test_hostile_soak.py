"""Run a short soak of honest and hostile clients; `make soak` is the long one."""

from __future__ import annotations

from tests.hostile.daemons import Daemons
from tests.hostile.soak import soaked, soaking
from tests.support.twistd_process import DaemonTestCase

_SECONDS = 5.0
_MOST_GROWTH = 8.0
"""Accepted growth in MB: in so short a time memory has not settled before the first measurement."""


class SoakTests(DaemonTestCase):
    """Soak the daemon for a few seconds."""

    def test_soak(self) -> None:
        """Honest clients lose nothing; connections, descriptors and memory return to their level."""
        with soaking(Daemons()) as soak:
            for result in soaked(soak, _SECONDS, _MOST_GROWTH):
                missed = [f"{each.what}: {each.measured}" for each in result.figures if not each.met]
                self.assertTrue(result.met, f"{result.threat}: {missed} {result.failure}")
