"""Test the unit files, what their sandbox denies the daemon, and what works in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, one_shot
from tests.systemd.container import ROOT, UNIT_SUFFIXES
from tests.systemd.units import ADDRESS, DIRECT, LIMIT, PROGRAMS, SERVICE, UNITS, UnitTestCase, systemctl, wait_for

WORKER, CHECK = "echotime-worker@1.service", "echotime-check@1.service"
EXPOSURE = {SERVICE: 3, "echotime@1.service": 3, WORKER: 3, DIRECT: 12, CHECK: 12}
"""Largest accepted exposure, in tenths."""
_ATTEMPTS = {
    "write to /etc": "open('/etc/x', 'w')",
    "write to /var/lib": "open('/var/lib/x', 'w')",
    "write to its program": f"open('{PROGRAMS}/x', 'w')",
    "write to its RuntimeDirectory": "open(os.environ['RUNTIME_DIRECTORY'] + '/x', 'w')",
    "read the homes": "os.listdir('/root')",
    "open a TCP socket": "socket.socket()",
    "open a UDP socket": "socket.socket(type=socket.SOCK_DGRAM)",
    "open a raw socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "open a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "run a shell": "subprocess.run(['/bin/sh', '-c', ':'], check=True)",
    "map memory to write and execute": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "be root again": "os.setuid(0)",
    "make a namespace": "ctypes.CDLL(None, use_errno=True).unshare(0x40000000) and fail()",
    "see process 1": "os.stat('/proc/1')",
    "see the kernel's settings": "open('/proc/sys/net/core/somaxconn')",
    "open a device": "open('/dev/kmsg')",
    "set the hostname": "socket.sethostname('x')",
    "change its priority": "os.nice(1)",
}
_ALLOWED = {
    SERVICE: {"write to its RuntimeDirectory"},
    WORKER: {"write to its RuntimeDirectory"},
    DIRECT: {"write to its RuntimeDirectory", "open a TCP socket", "open a UDP socket"},
}
_PROBE = """\
import ctypes, json, mmap, os, socket, subprocess
def fail():
    raise OSError(ctypes.get_errno(), "refused")
def possible(code):
    try:
        eval(code)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
attempts = json.loads(%r)
print("PROBED " + json.dumps(sorted(name for name, code in attempts.items() if possible(code))))
"""


class UnitFileTests(UnitTestCase):
    """Check the unit files with systemd's own tools."""

    def test_verify(self) -> None:
        """systemd-analyze verify finds no fault in any unit, unknown directives included."""
        names = [each.name for each in (ROOT / "etc").iterdir() if each.suffix in UNIT_SUFFIXES]
        self.assertIn(SERVICE, names)
        # a template is verified as an instance
        files = [str(UNITS / each.replace("@.", "@7777.")) for each in names]
        ended = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *files],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        self.assertEqual((ended.returncode, ended.stdout + ended.stderr), (0, ""))

    def test_no_end_of_restarts(self) -> None:
        """A daemon that ends again and again is restarted without end: the start limit is never reached."""
        for unit in (SERVICE, "echotime@1.service", WORKER, DIRECT):
            pause, interval = (self.show(unit, name) for name in ("RestartUSec", "StartLimitIntervalUSec"))
            self.assertEqual((pause, interval, self.show(unit, "StartLimitBurst")), ("1s", "10s", "10"))

    def test_exposure(self) -> None:
        """systemd-analyze security finds no more exposure than expected."""
        for unit, most in EXPOSURE.items():
            command = ["systemd-analyze", "security", "--no-pager", f"--threshold={most}", unit]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
            print(unit, ended.stdout.strip().splitlines()[-1].removeprefix("→ ").encode("ascii", "ignore").decode())
            self.assertEqual(ended.returncode, 0)


class SandboxTests(UnitTestCase):
    """Run a probe in the daemon's sandbox."""

    def test_what_cannot_be_done(self) -> None:
        """The sandbox allows only what the daemon needs."""
        probe = UNITS / "probe.py"
        probe.write_text(_PROBE % json.dumps(_ATTEMPTS), encoding="utf-8")
        self._changed.add(probe)
        for unit, allowed in _ALLOWED.items():
            # a unit that remains active keeps its invocation ID, by which its entries are found
            kept = ("Type=oneshot", "RemainAfterExit=yes", "Restart=no", "WatchdogSec=0")
            self.change(unit, *kept, "ExecStart=", f"ExecStart={PROGRAMS}/python {probe}")
            systemctl("start", unit)
            found = self.line(unit, "^PROBED ")
            self.assertEqual(set(json.loads(found["MESSAGE"].removeprefix("PROBED "))), allowed)

    def test_the_clock_may_not_be_asked(self) -> None:
        """In the sandbox the state of the clock is unknown, which is reported, and --require-sync stays silent."""
        self.options("--require-sync")
        self.start(DIRECT)
        why = "unknown: Operation not permitted, because of a system call filter (ProtectClock= of systemd)"
        self.assertIn(f"clock: {why}\n", self.control("status"))
        self.line(DIRECT, re.escape(f"clock: {why}; UDP replies are suspended"))

    def test_the_clock_may_be_asked(self) -> None:
        """With the directives that the documentation names, the state of the clock is known."""
        for unit in (SERVICE, DIRECT):
            self.change(unit, "ProtectClock=no", "SystemCallFilter=adjtimex clock_adjtime")
            self.options("--require-sync")
            self.start(unit)
            self.assertRegex(self.control("status"), "\nclock: (not )?synchronized")
            subprocess.run(["systemctl", "stop", unit, "echotime.socket"], check=True, timeout=LIMIT)

    def test_the_attempts_are_possible(self) -> None:
        """Without a sandbox every attempt succeeds, so that a failure in it means something."""
        attempts = {name: code for name, code in _ATTEMPTS.items() if not name.startswith(("be root", "set", "change"))}
        # the container itself has no /dev/kmsg, and its own sockets
        for name in ("open a device", "write to its program", "write to its RuntimeDirectory"):
            del attempts[name]
        out = subprocess.run(
            ["/usr/bin/python3", "-c", _PROBE % json.dumps(attempts)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout
        self.assertEqual(set(json.loads(out.removeprefix("PROBED "))), set(attempts))
        for each in ("/etc/x", "/var/lib/x"):
            Path(each).unlink()

    def test_what_works(self) -> None:
        """recvmmsg works by ctypes without writable and executable memory; so does the control socket."""
        for unit in (SERVICE, DIRECT):
            self.change(unit, "Environment=DEBUG_INVOCATION=1")
            self.start(unit)
            self.line(unit, "UDP .*: served by recvmmsg and sendmmsg, 64 datagrams a call")
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
            self.assertIn("SO_KEEPALIVE", self.control("set", "tcp", "SO_KEEPALIVE=on"))
            wait_for(self.answered, "answers to its own questions")
            subprocess.run(["systemctl", "stop", unit, "echotime.socket"], check=True, timeout=LIMIT)

    def test_from_its_own_port(self) -> None:
        """A datagram from the daemon's own port does not end a daemon that can make no socket to check it."""
        self.start()
        code = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP); "
            "s.sendto(bytes.fromhex('303930390009000078'), ('127.0.0.1', 0))"
        )
        subprocess.run(["/usr/bin/python3", "-c", code], check=True, timeout=LIMIT)
        self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.assertIn("refused_own_address: 1", self.control("counters"))
