"""`--control`: who may use the socket, and what is refused there."""

from __future__ import annotations

import contextlib
import grp
import os
import random
import socket
import stat
import struct
import subprocess

from tests.support.control_case import NOBODY, ControlTestCase, amp_box
from tests.support.plain_clients import ask_time
from tests.support.twistd_process import LIMIT


class SocketTests(ControlTestCase):
    """The socket in the file system."""

    def mode(self) -> int:
        """Its permissions."""
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_mode_and_removal(self) -> None:
        """Only the owner may use it, and it is gone with the daemon."""
        daemon = self.controlled()
        self.assertEqual(self.mode(), 0o600)
        self.told("status")
        self.served(daemon)
        self.assertFalse(self.path.exists())

    def test_group(self) -> None:
        """With a group its members may, too."""
        name = grp.getgrgid(os.getegid()).gr_name
        self.controlled("--control-group", name)
        self.assertEqual((self.mode(), self.path.stat().st_gid), (0o660, os.getegid()))

    def test_another_user(self) -> None:
        """Another user is refused by the file's mode, and should that be loosened, by who it is."""
        self.need("setpriv")
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        daemon = self.controlled()
        self.directory.chmod(0o755)
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); "
            "s.sendall(bytes.fromhex('00085f636f6d6d616e640006537461747573') + b'\\0\\x04_ask\\0\\x011\\0\\0'); "
            "print(s.recv(100))"
        )
        command = [*NOBODY, "/usr/bin/python3", "-c", code, str(self.path)]
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        self.assertIn(b"PermissionError", ended.stderr)
        self.path.chmod(0o666)
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        self.assertRegex(ended.stdout + ended.stderr, rb"^b''$|Reset|BrokenPipe")
        daemon.line(r"control: (nobody|65534) \(pid \d+\) is not admitted")
        self.assertIn("echotime", self.told("status"))

    def test_stale(self) -> None:
        """What a dead daemon left is replaced; a living one's, or anything else there, is a clear error."""
        daemon = self.controlled()
        daemon.kill()
        self.assertTrue(self.path.exists())
        self.controlled()
        ended = self.refused("--tcp", "127.0.0.1:0", "--control", str(self.path))
        self.assertEqual(ended.status, 1)
        self.assertIn(f"cannot listen on the control socket {self.path}: another daemon listens on it", ended.err)
        self.assertIn("echotime", self.told("status"), "the living one was not harmed")
        other = self.directory / "file"
        other.write_text("precious")
        ended = self.refused("--tcp", "127.0.0.1:0", "--control", str(other))
        self.assertEqual(ended.status, 1)
        self.assertIn("there is something else, which is no socket", ended.err)
        self.assertEqual(other.read_text(), "precious")

    def test_faults(self) -> None:
        """Paths that cannot be, groups that are not."""
        ended = self.refused("--control", "/nowhere/x", "--control-group", "no such")
        self.assertEqual(ended.status, 2)
        self.assertIn("--control /nowhere/x: there is no directory '/nowhere'", ended.err)
        self.assertIn("--control-group no such: there is no group 'no such'", ended.err)
        ended = self.refused("--control", "x" * 200)
        self.assertIn("is not a valid Unix socket path; expected 1 to 107 bytes", ended.err)
        self.assertIn("--control-group requires --control", self.refused("--control-group", "0").err)

    def test_run_by_systemd(self) -> None:
        """There it is in the runtime directory, without being asked for."""
        self.need("env")
        prefix = ("env", f"RUNTIME_DIRECTORY={self.directory}:/else", "INVOCATION_ID=1")
        daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", prefix=prefix)
        daemon.line(rf"listening for operators on {self.path}$")
        self.assertEqual(self.rows("status")["pid"], daemon.process.pid)

    def test_replaced_path(self) -> None:
        """A daemon whose path is another's by now does not remove that one's socket."""
        first = self.controlled()
        self.told("status")
        self.path.unlink()
        second = self.controlled()
        self.told("status")
        self.served(first)
        self.assertEqual(self.rows("status")["pid"], second.process.pid)
        self.path.unlink()
        self.served(second)

    def test_bytes_that_are_no_commands(self) -> None:
        """Whatever comes on the socket, nobody else notices, and no traceback is logged."""
        daemon = self.controlled("--wait-for-operator")
        random.seed(5)
        boxes = [
            amp_box(_command=b"Answer", _ask=b"1", number=b"x", word=b"y"),
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
            sock = self.plain()
            with contextlib.suppress(OSError):
                sock.sendall(box)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            sock.close()
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
        self.assertIn("echotime", self.told("status"))
        self.served(daemon)
