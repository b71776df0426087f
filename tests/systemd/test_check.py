"""Test the units of the probe mesh: a check of a target, and its timer."""

from __future__ import annotations

from pathlib import Path

from tests.systemd.units import LIMIT, SERVICE, SOCKET, UnitTestCase, systemctl, wait_for

_FOLDER = Path("/var/lib/prometheus/node-exporter")
_TARGET = "127.0.0.1:12345"
_CHECK = f"echotime-check@{_TARGET}"
_PASSWD = Path("/etc/passwd")
_USER = 990


class CheckTests(UnitTestCase):
    """Run echotime-check@.service and echotime-check@.timer against echotime.service."""

    def setUp(self) -> None:
        """Create the user of node_exporter, whom the container lacks: its /etc is not the machine's."""
        super().setUp()
        before = _PASSWD.read_bytes()
        self.addCleanup(_PASSWD.write_bytes, before)
        _PASSWD.write_bytes(before + f"prometheus:x:{_USER}:{_USER}::/:/bin/false\n".encode("ascii"))
        self._changed.add(_FOLDER.parent)
        self.result = _FOLDER / f"echotime-check-{_TARGET}.prom"

    def up(self) -> dict[str, str]:
        """Return the value of echotime_check_up of each service in the file."""
        lines = [line for line in self.result.read_text(encoding="ascii").splitlines() if "_up{" in line]
        return {line.split('service="')[1].partition('"')[0]: line.rpartition(" ")[2] for line in lines}

    def test_results(self) -> None:
        """The result of each check is in the file, for node_exporter to read. A target that is down is no failure."""
        self.start()
        systemctl("start", f"{_CHECK}.service")
        self.assertEqual(self.up(), {"tcp": "1", "udp": "1"})
        status = self.result.stat()
        self.assertEqual((status.st_uid, status.st_mode & 0o777), (_USER, 0o644))
        self.assertEqual([each.name for each in _FOLDER.iterdir()], [self.result.name])
        systemctl("stop", SOCKET, SERVICE)
        systemctl("start", f"{_CHECK}.service")
        self.assertEqual(self.up(), {"tcp": "0", "udp": "0"})
        self.assertEqual(self.show(f"{_CHECK}.service", "Result"), "success")

    def test_options(self) -> None:
        """The options of a target are its own, and a faulty one fails the unit."""
        self.start()
        path = Path(f"/etc/default/echotime-check-{_TARGET}")
        self._changed.add(path)
        path.parent.mkdir(exist_ok=True)
        path.write_text('ECHOTIME_CHECK_OPTIONS="--udp -t 5s"\n', encoding="ascii")
        systemctl("start", f"{_CHECK}.service")
        self.assertEqual(self.up(), {"udp": "1"})
        path.write_text("ECHOTIME_CHECK_OPTIONS=--none\n", encoding="ascii")
        self.assertEqual(self.fails(f"{_CHECK}.service"), "exit-code")

    def test_timer(self) -> None:
        """The timer starts checks, each time in the same second of the minute."""
        self.start()
        systemctl("start", f"{_CHECK}.timer")
        seconds = []
        for _attempt in range(3):
            # such as Sat 2026-11-28 20:21:37 UTC
            seconds.append(self.show(f"{_CHECK}.timer", "NextElapseUSecRealtime").split()[2].rpartition(":")[2])
            systemctl("restart", f"{_CHECK}.timer")
        self.assertEqual(seconds, seconds[:1] * 3)
        self.change(f"{_CHECK}.timer", "[Timer]", "OnCalendar=", "OnCalendar=*:*:*", "RandomizedDelaySec=0")
        systemctl("restart", f"{_CHECK}.timer")
        wait_for(self.result.exists, f"a result within {LIMIT} s")
        self.assertEqual(self.up(), {"tcp": "1", "udp": "1"})
