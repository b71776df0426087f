"""Test the socket of --control: its permissions, its path, and hostile input."""

from __future__ import annotations

import contextlib
import grp
import os
import random
import re
import socket
import stat
import struct
import subprocess
import sys

from echotime.control.peer import MAX_CONTROL_CONNECTIONS
from tests.support.control_case import NOBODY, READS_ALL, ControlTestCase, amp_box
from tests.support.plain_clients import ask_time
from tests.support.tool_case import environment
from tests.support.twistd_process import LIMIT
from tests.support.veth_pair import Cable

STATUS = (
    "import contextlib, socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(120); s.connect(sys.argv[1])\n"
    "with contextlib.suppress(BrokenPipeError):\n"
    "    s.sendall(bytes.fromhex('00085f636f6d6d616e640006537461747573') + b'\\0\\x04_ask\\0\\x011\\0\\0')\n"
    "print(s.recv(200))"
)
"""Python code to send the command Status to the control socket sys.argv[1], and to print the response."""


class SocketTests(ControlTestCase):
    """Check the control socket in the file system."""

    def mode(self) -> int:
        """Return the permissions of the socket."""
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_mode_and_removal(self) -> None:
        """Only the owner may use the socket, and it is removed with the daemon."""
        daemon = self.start_daemon()
        self.assertEqual(self.mode(), 0o600)
        self.output("status")
        self.served(daemon)
        self.assertFalse(self.path.exists())

    def test_group(self) -> None:
        """With --control-group the members of the group may use the socket."""
        name = grp.getgrgid(os.getegid()).gr_name
        self.start_daemon("--control-group", name)
        self.assertEqual((self.mode(), self.path.stat().st_gid), (0o660, os.getegid()))

    def test_another_user(self) -> None:
        """Another user is refused by the file's mode, or by the peer's credentials if the mode allows it."""
        self.need("setpriv")
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        daemon = self.start_daemon()
        self.directory.chmod(0o755)
        command = [*NOBODY, "/usr/bin/python3", "-c", STATUS, str(self.path)]
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        self.assertIn(b"PermissionError", ended.stderr)
        tool = (sys.executable, "-c", "from echotime.cli.entry import main; main()")
        command_line = [*NOBODY, *READS_ALL, *tool, "control", "-s", str(self.path), "status"]
        ended = subprocess.run(command_line, capture_output=True, timeout=LIMIT, check=False, env=environment({}))
        reason = "the socket serves root and the daemon's user; see --control-group"
        expected = f"echotime: {self.path}: Permission denied\nechotime: {reason}\n"
        self.assertEqual((ended.returncode, ended.stderr.decode()), (1, expected))
        self.path.chmod(0o666)
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        self.assertIn(b"permission denied: neither root", ended.stdout + ended.stderr)
        daemon.line(r"control: refused: (nobody|65534) \(pid \d+\): permission denied")
        self.assertIn("echotime", self.output("status"))

    def test_supplementary_group(self) -> None:
        """A process that has the group only as a supplementary one may use the socket."""
        self.need("setpriv")
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        group = grp.getgrall()[-1]
        # socket.getsockopt would not return more than 256
        groups = ",".join(map(str, [*range(10_000, 10_300), group.gr_gid]))
        self.start_daemon("--control-group", group.gr_name)
        self.directory.chmod(0o755)
        other = ("setpriv", "--reuid", "65534", "--regid", "65534", "--groups", groups)
        ended = subprocess.run(
            [*other, "/usr/bin/python3", "-c", STATUS, str(self.path)], capture_output=True, timeout=LIMIT, check=False
        )
        self.assertIn(b"_answer", ended.stdout, ended.stderr)

    def test_too_many(self) -> None:
        """Beyond the limit `echotime control` says why it is not served, until another connection ends."""
        daemon = self.start_daemon()
        open_ones = [self.control_socket() for _ in range(MAX_CONTROL_CONNECTIONS)]
        ended = self.control("status")
        self.assertEqual(ended.returncode, 1)
        message = f"echotime: {self.path}: too many control connections: 16 are open, 16 are allowed\n"
        self.assertEqual(ended.stderr.decode(), message)
        open_ones[0].close()
        self.wait_for(lambda: self.control("status").returncode == 0)
        self.served(daemon)

    def test_stale(self) -> None:
        """A stale socket is replaced; a live one or another file at the path is an error."""
        daemon = self.start_daemon()
        daemon.kill()
        self.assertTrue(self.path.exists())
        self.start_daemon()
        ended = self.refused("--tcp", "127.0.0.1:0", "--control", str(self.path))
        self.assertEqual(ended.status, 1)
        self.assertIn(f"cannot listen on the control socket {self.path}: another process listens on it", ended.err)
        self.assertIn("echotime", self.output("status"), "the living one was not harmed")
        other = self.directory / "file"
        other.write_text("precious")
        ended = self.refused("--tcp", "127.0.0.1:0", "--control", str(other))
        self.assertEqual(ended.status, 1)
        self.assertIn("the file exists and is not a socket", ended.err)
        self.assertEqual(other.read_text(), "precious")

    def test_faults(self) -> None:
        """An invalid path or group is a fault of the command line."""
        ended = self.refused("--control", "/nowhere/x", "--control-group", "no such")
        self.assertEqual(ended.status, 2)
        self.assertIn("--control /nowhere/x: there is no directory '/nowhere'", ended.err)
        self.assertIn("--control-group no such: there is no group 'no such'", ended.err)
        ended = self.refused("--control", "x" * 200)
        self.assertIn("is not a valid Unix socket path; expected 1 to 107 bytes", ended.err)
        self.assertIn("--control-group requires --control", self.refused("--control-group", "0").err)

    def test_directory_of_another_user(self) -> None:
        """With --uid the socket is created by that user, whom the reason names."""
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        ended = self.twistd("--uid", "65534", "echotime", "--tcp", "127.0.0.1:0", "--control", str(self.path)).wait()
        self.assertEqual(ended.status, 1)
        self.assertRegex(ended.err, r"control socket .*: Permission denied \(as user (nobody|65534)\)\n\Z")

    def test_run_by_systemd(self) -> None:
        """Under systemd the socket is in the runtime directory by default."""
        self.need("env")
        prefix = ("env", f"RUNTIME_DIRECTORY={self.directory}:/else", "INVOCATION_ID=1")
        daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", prefix=prefix)
        daemon.line(rf"listening on control socket {self.path}$")
        self.assertEqual(self.rows("status")["pid"], daemon.process.pid)

    def test_replaced_path(self) -> None:
        """A daemon does not remove a socket that another daemon has made at its path."""
        first = self.start_daemon()
        self.output("status")
        self.path.unlink()
        second = self.start_daemon()
        self.output("status")
        self.served(first)
        self.assertEqual(self.rows("status")["pid"], second.process.pid)
        self.path.unlink()
        self.served(second)

    def test_bytes_that_are_no_commands(self) -> None:
        """Garbage on the control socket affects no other client, and logs no traceback."""
        daemon = self.start_daemon("--wait-for-operator")
        random.seed(5)
        boxes = [
            amp_box(_command=b"Answer", _ask=b"1", number=b"x", reply=b"y"),
            amp_box(_command=b"Answer", _ask=b"1"),
            amp_box(_command=b"Nonsense", _ask=b"1"),
            amp_box(_command=b"StartTLS", _ask=b"1"),
            amp_box(_answer=b"77"),
            amp_box(_error=b"77", _error_code=b"x", _error_description=b"\xff"),
            amp_box(_command=b"Sockopts", _ask=b"1", target=b"\xff", names=b"", after=b"-1"),
            amp_box(_command=b"Connections", _ask=b"1", after=b"9" * 5000),
            amp_box(_command=b"Backlog", _ask=b"1", limit=b"-5"),
            b"\xff\xff" * 100,
            b"".join(struct.pack("!H4sH9s", 4, b"%04d" % each, 9, b"x" * 9) for each in range(100)),
            b"\0\0" * 100,
            *(random.randbytes(random.randrange(1, 300)) for _ in range(50)),
            *(b"\0\x08_command\0\x06Status" + random.randbytes(9) for _ in range(20)),
        ]
        for box in boxes:
            sock = self.control_socket()
            with contextlib.suppress(OSError):
                sock.sendall(box)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            sock.close()
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
        self.assertIn("echotime", self.output("status"))
        self.served(daemon)


class InterfaceNameTests(ControlTestCase):
    """An interface whose name has an escape sequence."""

    NAME, SHOWN = "e\x1b[2J", r"e\x1b[2J"

    def test_name(self) -> None:
        """The name is escaped in the log, in the tables of `echotime control`, and in errors of the tools."""
        cable = Cable()
        self.addCleanup(cable.leave)
        cable.server(f"ip link add {self.NAME} type veth peer name other")
        option = f"SO_BINDTODEVICE={self.NAME}"
        daemon = self.twistd(
            "echotime", "--tcp", "127.0.0.1:0", "--control", str(self.path), "--sockopt", option, prefix=cable.prefix
        )
        daemon.line(rf"SO_BINDTODEVICE.*{re.escape(self.SHOWN)}")
        daemon.line("listening on control socket ")
        self.assertIn(self.SHOWN, self.output("sockopts", "tcp"))
        refused = subprocess.run(
            [*cable.prefix, *self.command("sockopts", "--set", "SO_BINDTODEVICE=none")],
            capture_output=True,
            timeout=LIMIT,
            check=False,
            env=environment({}),
        )
        self.assertIn(self.SHOWN.encode(), refused.stdout)
        self.assertNotIn(b"\x1b", refused.stdout + self.served(daemon).out.encode())
