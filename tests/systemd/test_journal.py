"""Test the journal entries of a daemon: messages, priorities, fields."""

from __future__ import annotations

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_all, read_exactly
from tests.systemd.units import ADDRESS, DIRECT, SERVICE, UnitTestCase, systemctl


class JournalTests(UnitTestCase):
    """Check entries that were sent by journald's native protocol."""

    def test_a_session(self) -> None:
        """Entries of a session can be found by their fields."""
        self.start()
        with connect(ADDRESS) as sock:
            peer = f"127.0.0.1:{sock.getsockname()[1]}"
            sock.sendall(b"hi\x1b[31m\n")
            read_exactly(sock, 8 + len(ACKNOWLEDGEMENT))
            systemctl("stop", SERVICE)
            read_all(sock)
        (text,) = self.entries(SERVICE, "ECHOTIME_TEXT=hi\\x1b[31m\\n")
        self.assertEqual(text["ECHOTIME_PEER"], peer)
        self.assertEqual(
            (text["PRIORITY"], text["SYSLOG_IDENTIFIER"], text["_TRANSPORT"]), ("6", "echotime", "journal")
        )
        (ended,) = self.entries(SERVICE, "ECHOTIME_BYTES_IN=8", "ECHOTIME_HOW=server")
        self.assertEqual(ended["ECHOTIME_PEER"], text["ECHOTIME_PEER"])

    def test_nothing_to_worry_about(self) -> None:
        """An ordinary run logs nothing at notice or above, and no line without a priority."""
        for unit in (SERVICE, DIRECT):
            self.start(unit)
            systemctl("stop", unit, "echotime.socket")
            self.assertEqual(self.entries(unit, "-p", "notice"), [])
            entries = self.entries(unit)
            self.assertEqual({each["_TRANSPORT"] for each in entries}, {"journal"})
            self.assertTrue(any(each["MESSAGE"].startswith("served connections: ") for each in entries))
            self.assertFalse(any(each["MESSAGE"].startswith("<") for each in entries))
