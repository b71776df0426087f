"""Test starts in odd places: no rights, no device, no directory, a port in use. Each fault costs one line."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.control_case import READS_ALL
from tests.support.namespace import in_namespace
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, read_exactly
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import LIMIT, TWISTD, DaemonTestCase, Ended

GUARD = ("setpriv", "--pdeathsig", "KILL")
"""A background job is in a process group of its own, and ends with its shell only because of this."""
LOCAL = ("echotime", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
UNPRIVILEGED = ("--reuid=65534", "--regid=65534", "--clear-groups")


class PlaceTests(DaemonTestCase):
    """Start a daemon in a directory where it has no rights, or that does not exist."""

    def directory(self) -> str:
        """Return a new directory that only its owner may write."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        Path(directory.name).chmod(0o755)
        return directory.name

    def unprivileged(self, *args: str) -> subprocess.Popen[str]:
        """Start twistd with these arguments as a user who may not write its directory."""
        if os.geteuid() != 0 or self.which("setpriv") is None:
            self.skipTest("another user takes root and setpriv(1)")
        child = subprocess.Popen(
            ["setpriv", *UNPRIVILEGED, *READS_ALL, *TWISTD[:2], *args],
            cwd=self.directory(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child

    def fails(self, *args: str) -> str:
        """Return the one line on standard error with which an unprivileged twistd ends."""
        child = self.unprivileged(*args)
        out, err = child.communicate(timeout=LIMIT)
        self.assertEqual(child.returncode, 1)
        self.assertNotIn("Traceback", out + err)
        self.assertRegex(err, re.compile(r"\Aechotime: .+\n\Z"))
        return err

    def test_no_rights(self) -> None:
        """In the foreground no PID file is written unless requested, so no right is needed."""
        child = self.unprivileged("-n", *LOCAL)
        assert child.stdout is not None
        self.assertTrue(any("listening on UDP" in line for line in child.stdout))
        child.terminate()
        self.assertEqual(child.wait(LIMIT), -signal.SIGTERM)

    def test_files_that_cannot_be_written(self) -> None:
        """A PID file and a log file that cannot be written are named."""
        self.assertIn("/twistd.pid: the file cannot be written", self.fails("-n", "--pidfile=twistd.pid", *LOCAL))
        self.assertIn("/twistd.pid: the file cannot be written", self.fails(*LOCAL))
        self.assertEqual(
            self.fails("--pidfile=", "-l", "x.log", *LOCAL), "echotime: --logfile x.log: Permission denied\n"
        )
        name = "x" * 300
        for option in ("--pidfile", "--logfile"):
            self.assertRegex(
                self.fails("-n", option, name, *LOCAL), rf"\Aechotime: {option} \S*{name}: File name too long\n\Z"
            )

    def test_user_that_cannot_be_changed(self) -> None:
        """--uid and --gid that only root could change are named before a port is opened."""
        for option, what in (("--uid", "user"), ("--gid", "group")):
            self.assertEqual(
                self.fails("-n", option, "root", *LOCAL),
                f"echotime: {option} root: Operation not permitted (EPERM); only root can change the {what}\n",
            )
        # twistd warns that the user is the same already
        child = self.unprivileged("-n", "--uid", "65534", *LOCAL)
        assert child.stdout is not None
        self.assertTrue(any("listening on UDP" in line for line in child.stdout))

    def test_no_such_user(self) -> None:
        """A number that no user has is named. In daemon mode, too, and if the user is unknown only below --chroot."""
        self.assertEqual(self.fails("-n", "-u", "24112", *LOCAL), "echotime: --uid 24112: there is no such user\n")
        self.assertEqual(self.fails("-u", "24112", *LOCAL), "echotime: --uid 24112: there is no such user\n")
        if os.geteuid() == 0:
            (dev := Path(self.directory()) / "dev").mkdir()
            (dev / "null").touch()
            ended = self.twistd("--chroot", str(dev.parent), "--uid", "24112", *LOCAL).wait()
            self.assertEqual(ended.err, "echotime: --uid 24112: there is no such user below --chroot\n")

    def test_pidfile_on_request(self) -> None:
        """A PID file that is requested is written, also under its default name."""
        directory = Path(self.directory())
        child = self.twistd("--pidfile", str(directory / "twistd.pid"), *LOCAL)
        child.address("UDP")
        self.assertEqual(int((directory / "twistd.pid").read_text(encoding="ascii")), child.process.pid)
        self.served(child)

    def test_default_pidfile_on_request(self) -> None:
        """--pidfile twistd.pid requests a file, though that is the default."""
        directory = Path(self.directory())
        child = self.twistd("--pidfile", "twistd.pid", *LOCAL, prefix=("env", "-C", str(directory)))
        child.address("UDP")
        self.assertTrue((directory / "twistd.pid").exists())
        self.served(child)

    def test_deleted_directory(self) -> None:
        """A working directory that was deleted affects no daemon in the foreground."""
        remove = ("sh", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"', f"{self.directory()}/gone")
        child = self.twistd(*LOCAL, prefix=remove)
        child.address("UDP")
        self.served(child)

    def test_options_of_twistd(self) -> None:
        """A directory of --rundir or --chroot that does not exist, and a missing /dev/null, are named."""
        empty = self.directory()
        for args, line in (
            (("--rundir", f"{empty}/x"), f"{empty}/x: No such file or directory"),
            (("--chroot", empty), f"{empty}/dev/null is missing; create it: mknod -m 666 {empty}/dev/null c 1 3"),
        ):
            ended = self.twistd(*args, *LOCAL).wait()
            self.assertEqual((ended.status, ended.err), (1, f"echotime: {line}\n"))
            self.assertNotIn("Traceback", ended.out)
        ended = self.twistd_in_daemon_mode(empty, "--tcp", "127.0.0.1:0", before=("--pidfile=", "--chroot", empty))
        self.assertEqual((ended.status, ended.err), (1, f"echotime: {line}\n"))

    def test_twist(self) -> None:
        """Serve with `twist`, which runs the same plugin as twistd."""
        twist = str(Path(TWISTD[1]).with_name("twist"))
        child = subprocess.Popen(
            [sys.executable, twist, "--log-format=text", *LOCAL],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        assert child.stdout is not None
        ports = (re.search(r"listening on UDP 127\.0\.0\.1:(\d+)", line) for line in child.stdout)
        found = next(each for each in ports if each)
        self.assertEqual(len(ask_time(("127.0.0.1", int(found[1])))), 4)
        child.terminate()
        self.assertEqual(child.wait(LIMIT), -signal.SIGTERM)


class OwnCommandTests(DaemonTestCase):
    """Run `twistd-echotime`, which reports faults of twistd's options as the daemon reports those of its own."""

    def run_command(self, *args: str) -> Ended:
        """Run the command, and return how it ended."""
        code = "import sys; sys.argv[0] = '/bin/twistd-echotime'; from echotime.daemon.command import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=LIMIT, check=False
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def test_faults(self) -> None:
        """Each fault is one line, and the advice has the name of the command."""
        for args, line in (
            (["-n"], "the word echotime is missing: twistd-echotime -n echotime ..."),
            (["--uid", "no such", *LOCAL], "--uid no such: there is no such user"),
            (["-g", "no such", *LOCAL], "--gid no such: there is no such group"),
            *(
                (["--umask", mask, *LOCAL], f"--umask {mask}: expected an octal number up to 777, as in 027")
                for mask in ("9", "1000", "-1")
            ),
            (["--nosuch", *LOCAL], "option --nosuch not recognized"),
            (["-n", "other"], "Unknown command: other"),
            (["-n", *LOCAL, "-g", "x"], "-g is --gid of twistd: twistd-echotime -g VALUE echotime ..."),
            (["-n", *LOCAL, "-l", "x"], "-l is --logfile of twistd; ports are given to --tcp and --udp"),
        ):
            expected = f"echotime: {line}\nechotime: try 'twistd-echotime echotime --help'\n"
            self.assertEqual(self.run_command(*args), (2, "", expected))

    def test_help(self) -> None:
        """The help has the name of the command, too."""
        shown = self.run_command("echotime", "--help").out
        self.assertTrue(shown.startswith("Usage: twistd-echotime [twistd's options] echotime [options]\n"), shown)
        self.assertIn("\nExample: twistd-echotime -n echotime ", shown)
        self.assertTrue(self.run_command("--help").out.startswith("Usage: twistd-echotime [options]\n"))
        self.assertEqual(self.run_command("echotime", "--tcp", "0", "--check").out, "no faults\n")


class TerminalTests(DaemonTestCase):
    """Run a daemon in the background of a terminal that stops background writers."""

    def test_tostop(self) -> None:
        """With `stty tostop`, a daemon that is a background job serves, and its log lines are shown."""
        self.need("setsid", "setpriv", "stty", "bash")
        script = 'set -m; stty tostop; "$@" & wait $!; echo "status $?"'
        terminal = OnTerminal(["bash", "-c", script, "bash", *GUARD, *TWISTD, *LOCAL])
        self.addCleanup(terminal.close)
        port = int(terminal.until(r"listening on UDP 127\.0\.0\.1:(\d+)")[1])
        self.assertEqual(len(ask_time(("127.0.0.1", port))), 4)

    def test_operator_in_the_background(self) -> None:
        """With --operator and its log in a file, a background job serves on when a line is typed."""
        self.need("setsid", "setpriv", "bash", "tail")
        # tail shows the log, while the daemon's standard output is no terminal
        script = 'set -m; "$@" > "$0" & daemon=$!; tail -F --pid=$daemon "$0" 2>/dev/null'
        log = str(Path(self.mktemp()).absolute())
        Path(log).touch()
        terminal = OnTerminal(["bash", "-c", script, log, *GUARD, *TWISTD, *LOCAL, "--operator"])
        self.addCleanup(terminal.close)
        address = "127.0.0.1", int(terminal.until(r"listening on TCP 127\.0\.0\.1:(\d+)")[1])
        udp_address = "127.0.0.1", int(terminal.until(r"listening on UDP 127\.0\.0\.1:(\d+)")[1])
        with connect(address) as client:
            client.sendall(b"x")
            read_exactly(client, 1 + len(ACKNOWLEDGEMENT))
            terminal.type(b"typed\n")
            self.assertEqual(len(ask_time(udp_address)), 4)
            # the kernel reports the line to whoever waits for one, so the daemon reads before its next answer
            self.assertEqual(len(ask_time(udp_address)), 4)


class PortInUseTests(DaemonTestCase):
    """Start a daemon on a port that something uses, and read what uses it."""

    def reason(self, *args: str) -> str:
        """Return the line with which a daemon ends."""
        ended: Ended = self.refused(*args)
        self.assertEqual(ended.status, 1)
        return ended.err

    def test_listener(self) -> None:
        """Another listener or UDP socket is told with the command that shows it."""
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
            self.assertIn(
                f"(EADDRINUSE): another socket holds the port; find it: ss -antup 'sport = :{port}'",
                self.reason("--tcp", f"127.0.0.1:{port}"),
            )
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
            port = sock.getsockname()[1]
            self.assertIn(
                f"(EADDRINUSE): another socket holds the port; find it: ss -antup 'sport = :{port}'",
                self.reason("--udp", f"127.0.0.1:{port}"),
            )

    def test_bound_only(self) -> None:
        """A socket that is bound and does not listen is in no table of the kernel."""
        with contextlib.ExitStack() as stack:
            port = 0
            while not port or f":{port:04X} " in Path("/proc/net/tcp").read_text(encoding="ascii"):
                # a port without closed connections of another test
                sock = stack.enter_context(socket.socket())
                sock.bind(("127.0.0.1", 0))
                port = sock.getsockname()[1]
            self.assertIn("another socket is bound to the port", self.reason("--tcp", f"127.0.0.1:{port}"))

    def test_client_connections(self) -> None:
        """A port that client connections of this host have is told so, and for how long after their end."""

        if os.geteuid() != 0:
            self.skipTest("a network namespace takes root")
        self.need("ip")

        def start() -> tuple[str, str]:
            with socket.create_server(("127.0.0.1", 0)) as server:
                client = socket.create_connection(server.getsockname())
                port = client.getsockname()[1]
                accepted, _ = server.accept()
                while_open = self.reason("--tcp", f"127.0.0.1:{port}")
                client.close()
                while accepted.recv(1):
                    pass
                accepted.close()
            return while_open, self.reason("--tcp", f"127.0.0.1:{port}")

        while_open, afterwards = in_namespace(start)
        self.assertRegex(while_open, r"open connections have this local port, until they end: 1; find it: ss -")
        self.assertRegex(
            afterwards,
            r"closed connections have this local port, in TIME_WAIT for (60|59|5\d) s more: 1; find it: ss -",
        )
