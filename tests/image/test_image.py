"""Test the image: what is in it, and how the daemon runs, reloads and stops in a container."""

from __future__ import annotations

import json
import re
import signal
import socket
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import echotime
from tests.image.image import NAME, ImageTestCase, run
from tests.support.plain_clients import ACKNOWLEDGEMENT, one_shot
from tests.support.twistd_process import LIMIT

_IMPORT_ALL = """
import importlib, pkgutil, echotime
names = {each.name for each in pkgutil.walk_packages(echotime.__path__, "echotime.")}
names -= {"echotime.i18n.build", "echotime.testing.plugin"}
for name in names:
    importlib.import_module(name)
print(len(names))
"""
_ON_LOOPBACK = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")


class ContentTests(ImageTestCase):
    """Look into the image without running it."""

    def test_configuration(self) -> None:
        """The image names its user by number, its ports and its version, and has no health check of its own."""
        configuration = self.image["Config"]
        self.assertEqual(configuration["User"], "65532:65532")
        self.assertEqual(set(configuration["ExposedPorts"]), {"12345/tcp", "12345/udp"})
        labels = configuration["Labels"]
        self.assertEqual(labels["org.opencontainers.image.version"], echotime.__version__)
        self.assertEqual(labels["org.opencontainers.image.title"], "echotime")
        self.assertNotIn("Healthcheck", self.image)
        self.assertNotIn("Volumes", configuration)

    def test_files(self) -> None:
        """There is no program but Python and ours, and nothing that gives privileges or that the daemon may change."""
        members = self.members()
        files = [each for each in members if each.isfile()]
        python = re.compile(r"usr/bin/python3\.\d+$")
        programs = {each.name for each in files if each.mode & 0o111 and "/bin/" in each.name}
        self.assertTrue(any(map(python.match, programs)))
        ours = {"echotime", "twistd", "twistd-echotime"}
        self.assertEqual({Path(each).name for each in programs if not python.match(each)}, ours)
        self.assertEqual([each.name for each in members if each.mode & 0o6000], [])
        writable = {each.name for each in members if not each.issym() and (each.mode & 0o002 or each.uid == 65532)}
        self.assertEqual(writable, {"tmp"})
        self.assertLess(sum(each.size for each in files), 60e6)

    def test_bytecode(self) -> None:
        """Every module has bytecode, which the daemon's user could not write."""
        names = {each.name for each in self.members()}
        compiled = {
            re.sub(r"__pycache__/(.*)\.cpython-\d+\.pyc$", r"\1.py", each) for each in names if "/__pyc" in each
        }
        sources = {each for each in names if each.endswith(".py")}
        self.assertGreater(len(sources), 900)
        self.assertEqual(sources - compiled, set())

    def test_scanners(self) -> None:
        """Scanners for known vulnerabilities find each package, of Debian and of Python, with its version."""
        names = {each.name for each in self.members()}
        for package in ("libc6", "zlib1g", "libexpat1"):
            self.assertIn(f"var/lib/dpkg/status.d/{package}", names)
            self.assertIn(f"usr/share/doc/{package}/copyright", names)
        found = {match[1] for each in names if (match := re.search(r"site-packages/([^/]*)-[^/-]*\.dist-info/", each))}
        self.assertLessEqual({"twisted", "twisted_echotime", "zope_interface"}, found)
        self.assertNotIn("pip", found)

    def members(self) -> list[tarfile.TarInfo]:
        """Return the files of the image."""
        with tempfile.TemporaryDirectory(prefix="echotime-image-") as folder:
            name = run("podman", "create", NAME).strip()
            self.addCleanup(run, "podman", "rm", name)
            run("podman", "export", "--output", f"{folder}/image.tar", name)
            with tarfile.open(f"{folder}/image.tar") as archive:
                return archive.getmembers()


class RunTests(ImageTestCase):
    """Run the image with a read-only root, and without capabilities and new privileges."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="echotime-image-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # the container's user must be able to enter it
        self.folder.chmod(0o755)

    def test_without_network(self) -> None:
        """The daemon serves in a container that has loopback only, and stops with status 0."""
        daemon = self.container(options=("--network=none",))
        self.assertEqual(daemon.address("TCP"), ("0.0.0.0", 12345))
        self.assertEqual(daemon.address("UDP"), ("0.0.0.0", 12345))
        self.assertIn("ECHOTIME OK", daemon.execute("echotime", "check", "127.0.0.1"))
        self.ends(daemon)

    def test_user(self) -> None:
        """The daemon has the image's user, or any other, and no capabilities."""
        for options, uid in (((), 65532), (("--user=1000660000:0",), 1000660000)):
            with self.subTest(uid=uid):
                daemon = self.container(options=("--network=none", *options))
                daemon.address("UDP")
                status = Path(f"/proc/{daemon.inspect('{{.State.Pid}}')}/status").read_text(encoding="ascii")
                self.assertRegex(status, rf"(?m)^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$")
                self.assertRegex(status, r"(?m)^CapEff:\t0+$")
                self.assertRegex(status, r"(?m)^NoNewPrivs:\t1$")
                self.ends(daemon)

    def test_drain(self) -> None:
        """SIGTERM lets a client receive what is pending, and the status is 0 then."""
        daemon = self.container(*_ON_LOOPBACK, options=("--network=host",))
        message = b"x" * 4_000_000
        with socket.create_connection(daemon.address("TCP"), LIMIT) as client:
            client.setblocking(False)
            sent = client.send(message)
            client.settimeout(LIMIT)
            self.assertEqual(client.recv(1, socket.MSG_PEEK), b"x")
            daemon.signal(signal.SIGTERM)
            daemon.line("stopping: open connections: 1")
            client.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: client.recv(2**20), b""))
        self.assertEqual(len(received.replace(ACKNOWLEDGEMENT, b"")), sent)
        ended = daemon.wait()
        self.assertEqual(ended.status, 0, ended.out + ended.err)

    def test_published_ports(self) -> None:
        """Through a bridge and published ports, clients are served on one port over TCP and UDP."""
        daemon = self.container(options=("--publish=127.0.0.1::12345/tcp", "--publish=127.0.0.1::12345/udp"))
        daemon.address("UDP")
        ports = json.loads(daemon.inspect("{{json .NetworkSettings.Ports}}"))
        tcp, udp = (("127.0.0.1", int(ports[f"12345/{each}"][0]["HostPort"])) for each in ("tcp", "udp"))
        self.assertEqual(one_shot(tcp, b"hello"), b"hello" + ACKNOWLEDGEMENT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.sendto(b"", udp)
            self.assertEqual(len(sock.recv(100)), 4)
        self.ends(daemon)

    def test_readiness(self) -> None:
        """/readyz is 200 once the daemon serves, and 503 from SIGTERM until the end."""
        daemon = self.container(
            *(*_ON_LOOPBACK, "--http", "127.0.0.1:0", "--http-public-metrics", "--stop-delay", "1h"),
            options=("--network=host",),
        )
        url = "http://{}:{}/readyz".format(*daemon.address("HTTP"))
        self.wait_for_status(url, 200)
        daemon.signal(signal.SIGTERM)
        self.wait_for_status(url, 503)
        self.assertEqual(one_shot(daemon.address("TCP"), b"late"), b"late" + ACKNOWLEDGEMENT)
        self.ends(daemon)

    def wait_for_status(self, url: str, expected: int) -> None:
        """Ask until the status is that. A test that waits for ever is ended by pytest."""
        status = 0
        while status != expected:
            try:
                with urllib.request.urlopen(url, timeout=LIMIT) as response:
                    status = response.status
            except urllib.error.HTTPError as error:
                status = error.code
                error.close()

    def test_file_and_reload(self) -> None:
        """A file is mounted and named by ECHOTIME_OPTIONS; SIGHUP reads it again."""
        file = self.folder / "echotime.conf"
        file.write_text("[echotime]\nreply = before\n", encoding="utf-8")
        daemon = self.container(
            *_ON_LOOPBACK,
            options=(
                *("--network=host", "--env=ECHOTIME_OPTIONS=--config '/etc/echo time/echotime.conf'"),
                f"--volume={self.folder}:/etc/echo time:ro",
            ),
        )
        address = daemon.address("TCP")
        self.assertEqual(one_shot(address, b"x"), b"x" + ACKNOWLEDGEMENT + b"before")
        file.write_text("[echotime]\nreply = after\n", encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        daemon.line("reload: changed: reply")
        self.assertEqual(one_shot(address, b"x"), b"x" + ACKNOWLEDGEMENT + b"after")
        self.ends(daemon)

    def test_control(self) -> None:
        """With a writable /run/echotime, the tools of the image control the daemon."""
        daemon = self.container(
            *("--control", "/run/echotime/control"),
            options=("--network=none", "--tmpfs=/run/echotime"),
        )
        daemon.line("listening on control socket")
        shown = json.loads(daemon.execute("echotime", "control", "--json", "status"))
        self.assertIsNone(shown["stopping_in"])
        self.ends(daemon)

    def test_modules(self) -> None:
        """Every module but those of the build and of pytest can be imported: nothing that they use was left out."""
        python = f"--entrypoint=/usr/lib/echotime/{echotime.__version__}/bin/python3"
        command = ("--rm", "--network=none", "--read-only", python, NAME, "-c", _IMPORT_ALL)
        self.assertGreater(int(run("podman", "run", *command)), 200)

    def test_faults(self) -> None:
        """A faulty option is reported with ECHOTIME_OPTIONS, with status 2; what cannot be done has status 1."""
        faults = {
            "--tcp nowhere": (2, "--tcp nowhere: 'nowhere' is neither a port nor ADDRESS:PORT"),
            "--replay ok": (2, "unknown option --replay"),
            "--reply 'ok": (2, "ECHOTIME_OPTIONS=--reply 'ok: no closing quotation"),
            "--config /nowhere": (2, "--config /nowhere: No such file or directory"),
            "--control /run/control --tcp 1": (1, ""),
            "--tcp 192.0.2.1:7777": (1, ""),
        }
        for text, (status, expected) in faults.items():
            with self.subTest(text=text):
                ended = self.container(options=("--network=none", f"--env=ECHOTIME_OPTIONS={text}")).wait()
                self.assertEqual(ended.status, status, ended.err)
                self.assertTrue(ended.err.startswith(f"echotime: {expected}"), ended.err)
                self.assertEqual("ECHOTIME_OPTIONS" in ended.err, status == 2)
                self.assertNotIn("Traceback", ended.out + ended.err)
