"""Test --config: options in a file, checked as a whole, and SIGHUP, which changes them at run time."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.support.twistd_process import LIMIT, VERBOSE, DaemonTestCase, Twistd

HERE = "tcp = 127.0.0.1:0\nudp = 127.0.0.1:0\n"


class ConfigTestCase(DaemonTestCase):
    """Write a configuration file in a temporary folder."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "echotime.conf"

    def write(self, text: str) -> None:
        """Write the file, below its section header."""
        self.path.write_text(f"[echotime]\n{text}", encoding="utf-8")

    def configured(self, text: str, *args: str, **how: Any) -> Twistd:
        """Start a daemon with these options in its file, and `args` on the command line; `how` as for Twistd."""
        self.write(text)
        daemon = self.twistd("echotime", "--config", str(self.path), *args, **how)
        daemon.line("reload: enabled")
        return daemon

    def echoed(self, daemon: Twistd, message: bytes = b"hi") -> bytes:
        """Return the reply to a message."""
        return one_shot(daemon.address("TCP"), message)


class ConfigTests(ConfigTestCase):
    """Read options from a configuration file."""

    def test_options(self) -> None:
        """The file takes long option names, lists on several lines, switches, escapes and comments."""
        daemon = self.configured(
            "# where\ntcp =\n    127.0.0.1:0\n    [::1]:0\n\n; what\nack = \\nok \\x23 100 %#\\n\nreply = bye\n"
            "sockopt = tcp:SO_KEEPALIVE=on\n    SO_RCVBUF=64K\nallow-privileged-ports = yes\nudp = 127.0.0.1:0\n",
            prefix=VERBOSE,
        )
        self.assertEqual(self.echoed(daemon), b"hi\nok # 100 %#\nbye")
        self.assertEqual(one_shot(daemon.address("TCP", 1), b"x"), b"x\nok # 100 %#\nbye")
        daemon.line("SO_KEEPALIVE requested on, effective on")
        daemon.line("UDP .*SO_RCVBUF requested 65536")
        daemon.line("datagrams from ports below 1 are dropped")
        self.served(daemon)

    def test_command_line_goes_before(self) -> None:
        """The command line overrides the file: a value, an empty value, and a whole list of values."""
        daemon = self.configured(f"{HERE}ack = file\nreply = file\n", "--ack", "", "--tcp", "127.0.0.2:0")
        self.assertEqual(daemon.address("TCP")[0], "127.0.0.2")
        self.assertEqual(self.echoed(daemon), b"hifile")
        self.assertEqual(self.served(daemon).out.count("listening on TCP"), 1)

    def test_faults(self) -> None:
        """All faults are reported with the file's name, before anything is opened."""
        faulty = "tcp = nowhere\nbaklog = 5\ntransport = stock\nanswer-broadcast = perhaps\nidle-timeout = 0\n"
        self.write(f"{faulty}config = other\n")
        ended = self.refused("--config", str(self.path), "--udp-rate", "x")
        self.assertEqual((ended.status, ended.out), (2, ""))
        for fault in (
            f"{self.path}, line 2: tcp = nowhere: 'nowhere' is neither a port nor ADDRESS:PORT; expected PORT",
            f"{self.path}, line 3: unknown option baklog; the nearest is backlog",
            f"{self.path}, line 4: unknown option transport; there is one transport now",
            f"{self.path}, line 5: answer-broadcast = perhaps: 'perhaps' is not a switch; expected on or off",
            f"{self.path}, line 6: idle-timeout = 0: must be more than 0",
            f"{self.path}, line 7: config is accepted on the command line only",
            "--udp-rate x: must be a whole number, at least 0",
        ):
            self.assertIn(fault, ended.err)

    def test_no_such_form(self) -> None:
        """Text that is not valid in the file is reported with its line."""
        for text, fault in (
            (b"tcp = 1\n", ", line 1: expected [echotime] before the first option"),
            (b"[echotime]\ntcp\n", ", line 2: 'tcp' is not an option; expected NAME = VALUE"),
            (
                b"[echotime]\nack=1\nack=2\n",
                ", line 3: ack is repeated; expected further values on indented lines below the first",
            ),
            (b"[other]\n", ", line 1: unknown section [other]; expected [echotime]"),
            (b"", ": no section; expected [echotime] and options below it"),
            (b"# nothing yet\n", ": no section; expected [echotime] and options below it"),
            (b"[echotime]\nallow =\n", ", line 2: allow has no value; expected one or more"),
            (b"[echotime]\ncheck = on\n", ", line 2: check is accepted on the command line only"),
            (
                b"[echotime]\nbacklog = 5 # mine\n",
                ", line 2: backlog = 5 # mine: a comment must be on a line of its own",
            ),
            (
                b'[echotime]\nreply = "ok" # word\n',
                ', line 2: reply = "ok" # word: a comment must be on a line of its own, or write # as \\x23',
            ),
            (
                b"[echotime]\nack = 'ok'\n",
                ", line 2: ack = 'ok': quotes are not removed from a value; omit them, or write ' as \\x27",
            ),
            (
                b"[echotime]\ncontrol = ./socket ; x\n",
                ", line 2: control = ./socket ; x: a comment must be on a line of its own",
            ),
            (
                b"[echotime]\nreply = ok\n  deny = 127.0.0.0/8\n",
                ", line 3: 'deny = 127.0.0.0/8' is indented, and reply takes one value; "
                "begin an option as far left as reply",
            ),
            (
                b"[echotime] deny = 127.0.0.0/8\n",
                ", line 1: unknown section [echotime] deny = 127.0.0.0/8; expected [echotime]",
            ),
            (b"[echotime]\n\nack=\xff\n", ", line 3: not UTF-8"),
        ):
            self.path.write_bytes(text)
            ended = self.refused("--config", str(self.path))
            self.assertEqual(ended.status, 2)
            self.assertIn(f"echotime: {self.path}{fault}\n", ended.err)
        ended = self.refused("--config", str(self.path.parent / "none"))
        self.assertEqual(ended.status, 2)
        self.assertIn(f"echotime: --config {self.path.parent}/none: No such file or directory", ended.err)

    def test_check(self) -> None:
        """--check exits with 0, or with 2 and the faults, and opens nothing."""
        self.write(HERE)
        ended = self.refused("--check", "--config", str(self.path))
        self.assertEqual((ended.status, ended.out, ended.err), (0, f"{self.path}: no faults", ""))
        self.write("tcp = x\n")
        ended = self.refused("--check", "--config", str(self.path))
        self.assertEqual((ended.status, ended.out), (2, ""))
        self.assertEqual(self.refused("--check", "--tcp", "1").out, "no faults")


class ReloadTests(ConfigTestCase):
    """Reload the configuration by SIGHUP."""

    def reload(self, daemon: Twistd, text: str) -> None:
        """Write another file and send SIGHUP."""
        self.write(text)
        daemon.signal(signal.SIGHUP)

    def test_values_in_replies(self) -> None:
        """A reload switches between constant texts and those with values, also on an open connection."""
        daemon = self.configured(f"{HERE}reply = constant\n")
        with connect(daemon.address("TCP")) as sock:

            def answer(expected: bytes) -> None:
                sock.sendall(b"m")
                self.assertEqual(read_exactly(sock, len(expected)), expected)

            answer(b"m" + ACKNOWLEDGEMENT + b"constant")
            for text, expected in (
                (r"ack = \{message}", b"m2"),
                (r"reply = \{message}", b"m" + ACKNOWLEDGEMENT + b"3"),
                ("ack =", b"m"),
            ):
                daemon.lines.clear()
                self.reload(daemon, f"{HERE}{text}\n")
                daemon.line("reload: changed: ack, reply$")
                answer(expected)

    def test_what_can_be_changed(self) -> None:
        """A reload changes replies, lists, limits and live socket options, also for open connections."""
        daemon = self.configured(HERE)
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"1")
            self.assertEqual(read_exactly(sock, 12), b"1" + ACKNOWLEDGEMENT)
            self.reload(
                daemon,
                f"{HERE}ack = !\nreply = bye\ndeny = 127.0.0.7\nmax-per-source = 2\nsockopt = tcp:SO_KEEPALIVE=on\n"
                "log-message-rate = 0\nbacklog = 7\nidle-timeout = 60\ndrain-timeout = 1\n"
                "allow-privileged-ports = on\n",
            )
            daemon.line(
                "reload: changed: ack, allow-privileged-ports, backlog, deny, drain-timeout, idle-timeout, "
                "log-message-rate, max-per-source, reply, sockopt$"
            )
            sock.sendall(b"2")
            self.assertEqual(read_exactly(sock, 5), b"2!bye")
            self.assertEqual(self.echoed(daemon), b"hi!bye")
            with socket.create_connection(daemon.address("TCP"), 10, ("127.0.0.7", 0)) as denied:
                self.assertEqual(denied.recv(1), b"")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(1), b"")
        daemon.line("ended by client, 2 bytes in, 17 bytes out")
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
        self.assertNotIn(": 2", self.served(daemon).out.partition("reload: changed")[2].partition("ended by")[0])

    def test_what_takes_a_restart(self) -> None:
        """An option that requires a restart is reported at each reload and stays as it was."""
        daemon = self.configured(f"{HERE}sockopt = SO_KEEPALIVE=on\n")
        address = daemon.address("UDP")
        for reply in ("x", "y"):
            daemon.lines.clear()
            self.reload(daemon, f"{HERE}epoch = 1900\nsockopt = tcp:IP_FREEBIND=on\nreply = {reply}\n")
            daemon.line("reload: changed: reply$")
            daemon.line("reload: changing epoch requires a restart")
            daemon.line("reload: setting sockopt tcp:IP_FREEBIND=on on TCP .* requires a restart")
            daemon.line("reload: removing sockopt SO_KEEPALIVE=on from TCP .* requires a restart")
        self.assertLess(int.from_bytes(ask_time(address), "big"), 2**31 + 2**30)
        self.served(daemon)

    def test_without_effect(self) -> None:
        """Options of a transport that is not served are one warning, at the start and at each reload."""
        tcp, sync = "tcp = 127.0.0.1:0\n", "require-sync = on\n"
        daemon = self.configured(f"{tcp}{sync}udp-rate = 5\nsockopt = udp:SO_BROADCAST=on\n")
        daemon.line("echotime#warn. no effect without a UDP listener: udp-rate, require-sync$")
        daemon.line("echotime#warn. sockopt udp:SO_BROADCAST=on has no effect: it acts on UDP sockets, and the daemon ")
        self.reload(daemon, f"{tcp}{sync}answer-broadcast = on\n")
        daemon.line("echotime#warn. reload: no effect without a UDP listener: require-sync, answer-broadcast$")
        self.assertNotIn("clock:", self.served(daemon).out)

    def test_what_fails(self) -> None:
        """A socket option that cannot be set is named at each reload, until the file no longer has it."""
        daemon = self.configured(HERE)
        for sockopts in ("SO_BINDTODEVICE=nosuch", "SO_BINDTODEVICE=nosuch", "SO_BINDTODEVICE=lo"):
            daemon.lines.clear()
            self.reload(daemon, f"{HERE}sockopt = {sockopts}\n")
            if sockopts.endswith("nosuch"):
                daemon.line("reload: changed: nothing")
                daemon.line("reload: cannot set sockopt SO_BINDTODEVICE=nosuch on TCP .*: No such device")
            else:
                daemon.line("TCP .*: SO_BINDTODEVICE requested lo, effective lo")
                daemon.line("reload: changed: sockopt$")
        self.assertNotIn("nosuch", self.served(daemon).out.partition("effective lo")[2])

    def test_opened_to_everybody(self) -> None:
        """A reload that leaves no access list is logged as a warning."""
        daemon = self.configured(f"{HERE}allow = 192.0.2.0/24\n")
        address = daemon.address("TCP")
        for allow in ("allow = 192.0.2.7\n", ""):
            self.reload(daemon, HERE + allow)
            daemon.line("reload: changed: allow$")
            daemon.lines.clear()
        daemon.line("echotime#warn. reload: --allow removed: every source")
        self.assertEqual(one_shot(address, b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_faulty(self) -> None:
        """A reload of a faulty or missing file changes nothing, and the log has the reason."""
        daemon = self.configured(f"{HERE}ack = 1\n")
        self.reload(daemon, f"{HERE}ack = 2\nbacklog = many\n")
        daemon.line("reload failed: .*backlog = many: must be a whole number, at least 1")
        self.assertEqual(self.echoed(daemon), b"hi1")
        self.path.unlink()
        daemon.signal(signal.SIGHUP)
        daemon.line(f"reload failed: --config {self.path}: No such file or directory")
        self.assertEqual(self.echoed(daemon), b"hi1")
        self.reload(daemon, f"{HERE}ack = 3\n")
        daemon.line("reload: changed: ack")
        self.assertEqual(self.echoed(daemon), b"hi3")
        self.served(daemon)

    def test_fifo(self) -> None:
        """A FIFO in place of the file is a fault, and the daemon goes on serving and stops at SIGTERM."""
        daemon = self.configured(f"{HERE}ack = 1\n")
        self.path.unlink()
        os.mkfifo(self.path)
        daemon.signal(signal.SIGHUP)
        daemon.line(f"reload failed: --config {self.path}: found a FIFO or pipe; expected a regular file")
        self.assertEqual(self.echoed(daemon), b"hi1")
        self.served(daemon)
        self.assertIn("found a FIFO or pipe", self.refused("--check", "--config", str(self.path)).err)

    def test_removed_directory(self) -> None:
        """A reload works after the directory in which the daemon was started is removed."""
        self.write(HERE)
        folder = tempfile.mkdtemp()
        daemon = self.twistd("echotime", "--config", str(self.path), prefix=("env", "-C", folder))
        daemon.line("reload: enabled")
        Path(folder).rmdir()
        self.reload(daemon, f"{HERE}reply = x\n")
        daemon.line("reload: changed: reply$")
        self.served(daemon)

    def test_long_list(self) -> None:
        """Clients are served while a long list is read: none waits for the whole reload."""
        quiet = f"{HERE}log-message-rate = 0\n"
        daemon = self.configured(quiet)
        networks = "".join(f"    10.{each >> 8}.{each & 255}.0/24\n" for each in range(50_000))
        over = threading.Event()
        waited: list[float] = []

        def echo() -> None:
            with connect(daemon.address("TCP")) as sock:
                while not over.is_set():
                    begin = time.monotonic()
                    sock.sendall(b"x")
                    read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
                    waited.append(time.monotonic() - begin)

        daemon.address("TCP")  # so that the thread does not read the log
        client = threading.Thread(target=echo)
        client.start()
        try:
            begin = time.monotonic()
            self.reload(daemon, f"{quiet}deny =\n{networks}")
            daemon.line("reload: changed: deny$")
            whole = time.monotonic() - begin
        finally:
            over.set()
            client.join(LIMIT)
        self.assertLess(max(waited), whole / 2)
        self.served(daemon)

    def test_stop_meanwhile(self) -> None:
        """A stop during a reload abandons the reload, and ends cleanly."""
        daemon = self.configured(HERE)
        self.reload(daemon, f"{HERE}deny =\n" + "    192.0.2.1\n" * 50_000)
        self.served(daemon)

    def test_nothing(self) -> None:
        """A reload of an unchanged file changes nothing."""
        daemon = self.configured(HERE)
        self.reload(daemon, HERE)
        daemon.line("reload: changed: nothing$")
        self.served(daemon)
