"""Test sockets that systemd opens: they are served, and lose nothing while the daemon is away."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

from tests.support.http_case import ask
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all, read_exactly
from tests.systemd.load import Load
from tests.systemd.units import ADDRESS, LIMIT, PROGRAMS, SERVICE, SOCKET, UnitTestCase, systemctl, wait_for


class ActivationTests(UnitTestCase):
    """Start the daemon by echotime.socket and echotime@.socket."""

    def test_first_client_starts_it(self) -> None:
        """With only the socket started, a connection or a datagram starts the daemon, which answers it."""
        for client in (lambda: one_shot(ADDRESS, b"hi"), lambda: ask_time(ADDRESS)):
            systemctl("start", SOCKET)
            self.assertEqual(self.show(SERVICE, "ActiveState"), "inactive")
            self.assertTrue(client())
            self.process()
            systemctl("stop", SOCKET, SERVICE)

    def test_both_versions_and_addresses(self) -> None:
        """One socket serves IPv4 and IPv6, and a datagram is answered from its destination address."""
        self.start()
        for host in ("127.0.0.1", "127.0.0.9", "::1"):
            self.assertEqual(one_shot((host, ADDRESS[1]), b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time((host, ADDRESS[1]))), 4)

    def test_another_port(self) -> None:
        """The lines of docs/systemd.md for another port, and the commands below them, work as printed."""
        page = (Path(__file__).parents[2] / "docs" / "systemd.md").read_text(encoding="utf-8")
        section = page.partition("### Change the port or the address\n")[2].partition("\n##")[0]
        drop_in, commands = re.findall(r"(?m)(?:^    .*\n)+", section)
        self.start()
        self.change(SOCKET, *drop_in.replace("    ", "").splitlines())
        for each in commands.splitlines():
            subprocess.run(
                each,
                shell=True,
                check=True,
                timeout=LIMIT,
                env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
            )
        self.assertRaises(ConnectionRefusedError, connect, ADDRESS)
        self.assertEqual(len(ask_time((ADDRESS[0], 7777))), 4)

    def test_nothing_else_is_opened(self) -> None:
        """The daemon listens on systemd's sockets only, as their inodes show."""
        self.start()
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            ours, theirs = (self.held(process, kind, ADDRESS[1]) for process in (self.process(), 1))
            self.assertEqual(os.fstat(ours.fileno()).st_ino, os.fstat(theirs.fileno()).st_ino)

    def test_without_the_cache_of_plugins(self) -> None:
        """The sockets are served also if Twisted removes the environment variables before echotime reads them."""
        bare = Path("/opt/bare")
        self._changed.add(bare)
        shutil.copytree(PROGRAMS.parent, bare, symlinks=True)
        (cache,) = bare.rglob("dropin.cache")
        cache.unlink()
        self.change(
            SERVICE,
            "ExecStart=",
            f"ExecStart={bare}/bin/python -B {bare}/bin/twistd --nodaemon --pidfile= echotime",
            f"ExecPaths={bare}",
            "Environment=DEBUG_INVOCATION=1",
        )
        self.start()
        self.line(SERVICE, r"TCP \[::\]:12345: passed in as descriptor 3 \(echotime\)")
        self.assertFalse(cache.exists())
        self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)

    def test_by_name(self) -> None:
        """Sockets are selected by name, and a socket that no listener uses is reported."""
        for name, listen in (("web", "ListenStream=127.0.0.1:8001"), ("other", "ListenDatagram=127.0.0.1:8002")):
            path = Path(f"/etc/systemd/system/echotime-{name}.socket")
            text = f"[Socket]\n{listen}\nService={SERVICE}\nFileDescriptorName={name}\n"
            path.write_text(text, encoding="ascii")
            self._changed.add(path)
        systemctl("daemon-reload")
        self.change(SERVICE, "Sockets=echotime.socket echotime-web.socket echotime-other.socket")
        self.options("--tcp systemd:web --udp systemd:echotime")
        systemctl("start", "echotime-web.socket", "echotime-other.socket")
        self.start()
        self.assertEqual(one_shot(("127.0.0.1", 8001), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(len(ask_time(ADDRESS)), 4)
        found = [each for each in self.entries(SERVICE, "-p", "warning") if "no option requests it" in each["MESSAGE"]]
        self.assertEqual(len(found), 2)

    def test_http(self) -> None:
        """HTTP is served in the sandbox on echotime-http.socket, whose name stays while the service is away."""
        path = Path("/run/echotime-http")
        self.start()
        self.options("--http systemd:http")
        systemctl("stop", SERVICE)
        systemctl("start", "echotime-http.socket")
        self.start()
        wait_for(lambda: ask(path, "/readyz")[0] == 200, "ready")
        self.assertIn("TCP [::]:12345: answered", ask(path, "/readyz?verbose")[1])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        for page in ("/", "/static/app.js", "/api/connections", "/api/sockopts?target=tcp"):
            self.assertEqual(ask(path, page)[0], 200, page)
        self.assertIn("echotime_connections_open 0", ask(path, "/metrics")[1])
        systemctl("restart", SERVICE)
        self.assertEqual(ask(path), (200, "ok\n"))
        self.assertIn("Unix socket: /run/echotime-http", self.control("token"))
        systemctl("stop", SOCKET, SERVICE)
        self.assertTrue(path.is_socket())
        systemctl("stop", "echotime-http.socket")
        self.assertFalse(path.exists())

    def test_not_what_was_asked(self) -> None:
        """A socket that was not passed is reported in the journal, with status 1."""
        self.change(SERVICE, "Restart=no")
        self.options("--udp systemd:nobody")
        self.fails(SERVICE)
        self.line(SERVICE, "--udp systemd:nobody: no unclaimed socket named 'nobody'; passed: descriptor 3")
        self.assertEqual(self.show(SERVICE, "ExecMainStatus"), "1")

    def test_options(self) -> None:
        """Options that can still be set are set, and those that come too late are reported."""
        self.options("--sockopt tcp:SO_KEEPALIVE=on --sockopt IP_FREEBIND=on --sockopt udp:SO_RCVBUF=100K")
        self.start()
        self.line(SERVICE, "TCP .*: SO_KEEPALIVE requested on, effective on$")
        self.line(SERVICE, "TCP .*: IP_FREEBIND requested on, effective off: too late")
        self.line(SERVICE, "UDP .*: SO_RCVBUF requested 102400, effective 204800")

    def test_instances(self) -> None:
        """Each instance has its own port, options and control socket."""
        self.options("--reply seven", "echotime-7777")
        systemctl("start", "echotime@7777.socket", "echotime@8888.socket")
        self.assertEqual(one_shot(("127.0.0.1", 7777), b"hi"), b"hi" + ACKNOWLEDGEMENT + b"seven")
        self.assertEqual(one_shot(("127.0.0.1", 8888), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(len(ask_time(("127.0.0.1", 7777))), 4)
        self.assertIn("TCP [::]:7777", self.control("status", path="/run/echotime-7777/control"))
        self.assertIn("TCP [::]:8888", self.control("status", path="/run/echotime-8888/control"))


class RestartTests(UnitTestCase):
    """Restart the daemon under its sockets: no connection is refused, and no byte is lost."""

    def test_killed(self) -> None:
        """A client that comes while a killed daemon is away is answered by the next one."""
        before = self.start()
        self.change(SERVICE, "RestartSec=1")
        os.kill(before, signal.SIGKILL)
        with connect(ADDRESS) as sock:
            sock.sendall(b"hi")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
            self.assertEqual(read_all(sock), b"hi" + ACKNOWLEDGEMENT)
        self.assertNotEqual(self.process(), before)

    def test_owed_bytes(self) -> None:
        """A client with pending output gets it from the old daemon, and the new one waits for that."""
        self.options("--drain-timeout 20")
        before = self.start()
        with connect(ADDRESS) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
            with subprocess.Popen(["systemctl", "restart", SERVICE]) as restart:
                sock.sendall(b"there")
                self.assertEqual(read_exactly(sock, 5 + len(ACKNOWLEDGEMENT)), b"there" + ACKNOWLEDGEMENT)
                self.assertEqual(read_all(sock), b"", "closed with an end of file")
                self.assertEqual(restart.wait(LIMIT), 0)
        self.assertNotEqual(self.process(), before)

    def test_under_load(self) -> None:
        """During three restarts under load every connection and every datagram is answered correctly."""
        self.options("--log-message-rate 0")
        self.start()
        with Load() as load:
            seen = {self.process()}
            for _ in range(3):
                systemctl("restart", SERVICE)
                seen.add(self.process())
                load.goes_on()
        print(f"3 restarts under load: {load.done}, faults: {len(load.faults)}")
        self.assertEqual((load.faults, len(seen)), ([], 4))
