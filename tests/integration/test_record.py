"""Test --record with the real daemon: every connection once, and targets that are full, not read, renamed or wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from echotime.wire.hostport import HostPort
from echotime.wire.proxy_header import make_v2
from tests.hostile.timing import wait_until
from tests.support.behave_case import behaving_address
from tests.support.plain_clients import ACKNOWLEDGEMENT, RESET, connect, one_shot, read_exactly
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import LIMIT, TWISTD, DaemonTestCase, Twistd

PROXY, CHECKER, DENIED = "127.0.0.5", "127.0.0.6", "127.0.0.9"
SMALL = "import echotime.daemon.record.service as record; record.MAX_PENDING = 20_000"
"""Python code that makes the bound of the daemon's memory small."""
CONNECTIONS = 400


class RecordTests(DaemonTestCase):
    """Record to a file below a directory that other users may reach."""

    def setUp(self) -> None:
        """Make the directory of the record."""
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "record.jsonl"

    def recording(self, *args: str, path: str = "", **how: Any) -> Twistd:
        """Start a daemon with --record, and wait until it listens."""
        daemon = self.echotime("--record", path or str(self.path), *args, **how)
        self.address = daemon.address("TCP")
        daemon.line("connection limits")
        return daemon

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        """Return the lines of a file, each of which must be whole."""
        text = (path or self.path).read_text(encoding="ascii")
        self.assertTrue(text.endswith("\n") or not text)
        return [json.loads(each) for each in text.splitlines()]

    def talk(self, number: int) -> list[str]:
        """Make connections, and return their peers as the record must have them."""
        peers = []
        for _ in range(number):
            with connect(self.address) as sock:
                peers.append(f"127.0.0.1:{sock.getsockname()[1]}")
                sock.sendall(b"hello")
                read_exactly(sock, 5 + len(ACKNOWLEDGEMENT))
        return peers

    def test_each_kind_of_end(self) -> None:
        """A connection is recorded with who ended it, and quiet and refused ones are not; refusals are counted."""
        quiet = ("--quiet", CHECKER, "--deny", DENIED, "--proxy-protocol", PROXY)
        daemon = self.recording(*quiet, "--idle-timeout", "5m")
        (peer,) = self.talk(1)
        connect(self.address).close()
        with connect(self.address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one_shot(self.address, b"x", CHECKER)
        for _ in range(3):
            with connect(self.address, DENIED) as sock:
                self.assertEqual(sock.recv(1), b"")
        client = make_v2(HostPort("192.0.2.7", 1945), HostPort("192.0.2.1", 12345))
        one_shot(self.address, client + b"hi", PROXY)
        one_shot(self.address, b"", PROXY)
        with connect(self.address) as sock:
            sock.sendall(b"y")
            read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
            self.served(daemon)
        lines = self.lines()
        for each in lines:
            self.assertRegex(each["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        closed = [each for each in lines if each["event"] == "connection_closed"]
        closed.sort(key=lambda each: each["connection"] or 5.5)  # ends that come at once have no order
        self.assertEqual(
            [(each["connection"], each["how"], each["messages"], each["bytes_in"]) for each in closed],
            [
                (1, "client", 1, 5),
                (2, "client", 0, 0),
                (3, "client's reset", 0, 0),
                (5, "client", 1, 2),
                (0, "client", 0, 0),
                (6, "server", 1, 1),
            ],
        )
        self.assertEqual((closed[0]["peer"], closed[0]["via"], closed[0]["bytes_out"]), (peer, "", 16))
        self.assertEqual(closed[3]["peer"], "192.0.2.7:1945")
        self.assertRegex(closed[3]["via"], rf"^{re.escape(PROXY)}:\d+$")
        for each in closed:
            self.assertEqual(each["server"], str(HostPort(*self.address)))
            self.assertLessEqual(each["started"], each["time"])
            self.assertGreater(each["tcp"]["mss"], 500)
            self.assertGreater(each["tcp"]["rtt"], 0)
        self.assertEqual(closed[0]["tcp"]["bytes_acked"], 16)
        refused = [each for each in lines if each["event"] == "refused"]
        self.assertEqual({each["reason"] for each in refused}, {"connections refused (access list)"})
        self.assertEqual((sum(each["new"] for each in refused), refused[-1]["total"]), (3, 3))
        self.assertEqual(refused[0]["last"], DENIED)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_behaviors(self) -> None:
        """A connection is recorded with its behavior: that of the listener, the client's choice, or none."""
        daemon = self.recording("--behave", "0=client", "--behave", "0=drop", "--behave", "0=corrupt:probability=0")
        one_shot(self.address, b"x")
        chooser = behaving_address(daemon, behavior="client")
        for line in (b"", b"latency:delay=1ms\nx", b"latncy\n"):
            one_shot(chooser, line)
        one_shot(behaving_address(daemon, behavior="corrupt:probability=0"), b"x")
        self.served(daemon)
        found = [each["behavior"] for each in sorted(self.lines(), key=lambda each: each["connection"])]
        self.assertEqual(found, ["", "client", "latency:delay=1ms", "client", "echo"])

    def test_last_refusals(self) -> None:
        """A refusal shortly after another is recorded at the stop."""
        daemon = self.recording("--deny", DENIED)
        for number in (1, 2):
            with connect(self.address, DENIED) as sock:
                self.assertEqual(sock.recv(1), b"")
            if number == 1:
                daemon.line(r"access list\): 1 new")
        self.served(daemon)
        self.assertEqual([(each["new"], each["total"]) for each in self.lines()], [(1, 1), (1, 2)])

    def test_documented_filters(self) -> None:
        """The jq examples of docs/record.md find what they say in a real record."""
        self.need("jq")
        daemon = self.recording("--deny", DENIED, "--behave", "0=client")
        (orderly,) = self.talk(1)
        # an answer that arrived as a whole, although the last acknowledgement is missing
        self.assertIn(b"error: ", one_shot(behaving_address(daemon), b"latncy\n"))
        with connect(self.address) as sock:
            cut = f"127.0.0.1:{sock.getsockname()[1]}"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.sendall(b"x" * 300_000)
        with connect(self.address, DENIED) as sock:
            self.assertEqual(sock.recv(1), b"")
        self.served(daemon)
        text = (Path(__file__).parents[2] / "docs" / "record.md").read_text(encoding="utf-8")
        filters = re.findall(r"^    (jq (?:.+\n)+)", text, re.MULTILINE)
        self.assertEqual(len(filters), 4)
        found = [
            subprocess.run(["sh", "-c", each], cwd=self.directory, capture_output=True, text=True, check=True).stdout
            for each in filters
        ]
        self.assertNotIn(orderly, "".join(found))
        others = [json.loads(each)[1:] for each in found[0].splitlines()]
        self.assertEqual([how for _peer, how in others], ["behavior client", "client's reset"])
        self.assertEqual(others[1][0], cut)
        self.assertIsInstance(json.loads(found[1]), list)
        self.assertEqual(json.loads(found[2])["peer"], cut)
        self.assertEqual(json.loads(found[3]), [{"reason": "connections refused (access list)", "number": 1}])

    def rotated_under_load(self, *args: str, reloads: bool) -> None:
        """Rename the file many times while clients come and go, and find each of them once."""
        daemon = self.recording(*args)
        peers, rotations = [], 0
        while rotations < 3:
            while self.path.stat().st_size < 10_000:
                peers += self.talk(5)
            rotations += 1
            self.path.rename(f"{self.path}.{rotations}")
            daemon.signal(signal.SIGHUP)
            while not self.path.exists():
                peers += self.talk(5)
            if reloads:
                daemon._next("reload: changed: nothing") if rotations > 1 else daemon.line("reload: changed")
        peers += self.talk(5)
        self.served(daemon)
        files = [self.path, *(Path(f"{self.path}.{number}") for number in range(1, rotations + 1))]
        found = [each["peer"] for file in files for each in self.lines(file)]
        self.assertEqual(Counter(found), Counter(peers))

    def test_rotated_under_load(self) -> None:
        """SIGHUP begins a new file without the loss of a line, with nothing else to reload."""
        self.rotated_under_load(reloads=False)

    def test_rotated_with_a_reload(self) -> None:
        """With --config, SIGHUP reads the file and begins a new record."""
        config = self.directory / "conf"
        config.write_text("[echotime]\nbacklog = 50\n", encoding="ascii")
        self.rotated_under_load("--config", str(config), reloads=True)

    def test_stopped_reader(self) -> None:
        """A FIFO whose reader is stopped delays no client; its lines are whole, and the lost ones are counted."""
        os.mkfifo(self.path)
        daemon = self.recording(python=SMALL)
        out = self.directory / "out"
        reader = subprocess.Popen(["sh", "-c", f'exec cat "{self.path}" > "{out}"'])
        self.addCleanup(reader.wait)
        self.addCleanup(reader.kill)
        peers = self.talk(1)
        wait_until(lambda: out.exists() and out.stat().st_size > 0)
        reader.send_signal(signal.SIGSTOP)
        peers += self.talk(CONNECTIONS)
        daemon.line(r"record: \S+: lines lost: \d+ new")
        reader.send_signal(signal.SIGCONT)
        wait_until(lambda: b"lines_lost" in out.read_bytes())
        peers += self.talk(1)
        self.served(daemon)
        reader.wait(LIMIT)
        lines = self.lines(out)
        found = [each["peer"] for each in lines if each["event"] == "connection_closed"]
        lost = sum(each["new"] for each in lines if each["event"] == "lines_lost")
        self.assertEqual(len(found) + lost, len(peers))
        self.assertEqual(found, [each for each in peers if each in set(found)])
        self.assertEqual((found[0], found[-1]), (peers[0], peers[-1]))

    def test_stop_with_a_stopped_reader(self) -> None:
        """A daemon stops though its FIFO is full, and says how much was not written."""
        os.mkfifo(self.path)
        daemon = self.recording()
        self.talk(CONNECTIONS)
        ended = self.served(daemon)
        self.assertRegex(ended.out, r"record: \S+: not written at the stop: \d+ lines")

    def test_full_disk(self) -> None:
        """A full file system delays no client, and no line is lost; removing the record and SIGHUP make room, too."""
        self.need("unshare")
        if os.geteuid() != 0:
            self.skipTest("mounting a file system takes root")
        mount = f'mount -t tmpfs -o size=64k tmpfs "{self.directory}" && head -c 50000 /dev/zero > "$0" && exec "$@"'
        ballast = self.directory / "ballast"
        daemon = self.recording("--log-message-rate", "0", prefix=("unshare", "-m", "sh", "-c", mount, str(ballast)))
        full = r"record: \S+: cannot write: No space left on device \(ENOSPC\); trying again every second"
        # the file system is reached through the daemon, in whose namespace it is
        root = Path(f"/proc/{daemon.process.pid}/root")
        file = root / self.path.relative_to("/")
        peers = self.talk(60)
        daemon.line(full)
        (root / ballast.relative_to("/")).unlink()
        daemon.line(r"record: \S+: written again")
        wait_until(lambda: [each["peer"] for each in self.lines(file)] == peers)
        peers += self.talk(80)
        daemon._next(full)
        first = file.read_bytes()
        file.unlink()
        daemon.signal(signal.SIGHUP)
        daemon.line(r"record: \S+: opened again")
        wait_until(lambda: file.read_bytes().count(b"\n") + first.count(b"\n") == len(peers))
        second = self.lines(file)
        self.served(daemon)
        lines = [json.loads(each) for each in first[: first.rfind(b"\n")].splitlines()] + second
        self.assertEqual([each["peer"] for each in lines], peers)

    def test_user(self) -> None:
        """With --uid the file belongs to that user, who can begin a new one."""
        if os.geteuid() != 0:
            self.skipTest("changing the user takes root")
        self.directory.chmod(0o777)
        options = ("--uid", "65534", "--gid", "65534", "echotime", "--tcp", "127.0.0.1:0", "--record", str(self.path))
        daemon = self.twistd(*options)
        self.address = daemon.address("TCP")
        daemon.line("connection limits")
        self.path.rename(self.directory / "old")
        daemon.signal(signal.SIGHUP)
        daemon.line(r"record: \S+: opened again")
        self.talk(1)
        self.served(daemon)
        for path, lines in ((self.directory / "old", 0), (self.path, 1)):
            found = path.stat()
            self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (65534, 65534, 0o640))
            self.assertEqual(len(self.lines(path)), lines)

    def test_standard_output(self) -> None:
        """/dev/stdout shares standard output with the log, in whole lines."""
        daemon = self.recording(path="/dev/stdout")
        self.talk(100)
        out = self.served(daemon).out.splitlines()
        self.assertEqual(len([json.loads(each) for each in out if each.startswith("{")]), 100)
        self.assertEqual([each for each in out if not each.startswith("{") and "[echotime#" not in each], [])

    def test_wrong_paths(self) -> None:
        """A path that cannot be opened, and a value that is no path, are one line at the start."""
        address = ("--tcp", "127.0.0.1:0")
        expected = "expected a file, a FIFO, /dev/stdout or /dev/stderr"
        for path, reason in (
            (self.directory, f"it is not a file; {expected}"),
            (self.directory / "a" / "b", f"there is no directory '{self.directory}/a'"),
        ):
            ended = self.refused(*address, "--record", str(path))
            self.assertEqual((ended.status, ended.out), (2, ""))
            self.assertIn(f"echotime: --record {path}: {reason}\n", ended.err)
        self.path.symlink_to("a")
        ended = self.refused(*address, "--record", str(self.path))
        self.assertEqual((ended.status, ended.err.count("\n")), (1, 1))
        self.assertIn(f"echotime: --record {self.path}: it is a symbolic link; {expected}", ended.err)
        for value in ("", "-"):
            ended = self.refused(*address, "--record", value)
            self.assertEqual(ended.status, 2)
            self.assertIn(f"--record {value}: {expected}", ended.err)
        ended = self.twistd_in_daemon_mode(str(self.directory), *address, "--record", "/dev/stdout")
        self.assertEqual(ended.status, 2)
        self.assertIn("--record /dev/stdout requires twistd -n", ended.err)

    def test_in_the_background(self) -> None:
        """A daemon in the background records to a relative path, from the directory where it was started."""
        ended = self.twistd_in_daemon_mode(
            str(self.directory), "--tcp", "127.0.0.1:0", "--record", "record.jsonl", before=("--pidfile", "pid")
        )
        self.assertEqual(ended.status, 0, ended.err)
        pid = int((self.directory / "pid").read_text(encoding="ascii"))
        self.addCleanup(self.end, pid)
        log = self.directory / "twistd.log"
        wait_until(lambda: "connection limits" in log.read_text(encoding="utf-8"))
        found = re.search(r"listening on TCP 127\.0\.0\.1:(\d+)", log.read_text(encoding="utf-8"))
        assert found is not None
        self.address = ("127.0.0.1", int(found[1]))
        peers = self.talk(3)
        self.end(pid)
        self.assertEqual([each["peer"] for each in self.lines()], peers)

    def end(self, pid: int) -> None:
        """End a daemon in the background, if it runs."""
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        wait_until(lambda: not Path(f"/proc/{pid}").exists())

    def test_terminal_hangs_up(self) -> None:
        """A terminal that hangs up stops the daemon, as without --record."""
        terminal = OnTerminal([*TWISTD, "echotime", "--tcp", "127.0.0.1:0", "--record", str(self.path)])
        self.addCleanup(terminal.close)
        terminal.until("connection limits")
        terminal.hang_up()
        self.assertEqual(terminal.end(), -signal.SIGTERM)
