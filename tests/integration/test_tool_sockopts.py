"""Test `echotime sockopts`: tables, trials and JSON."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from typing import Any

from echotime.sockopt.catalogue.index import BY_NAME, CATALOGUE
from tests.support.tool_case import CHINESE, ToolTestCase

_LOST = "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"
_ROLES = {"listener", "connection", "udp"}
_VALUE_KEYS = {"form", "low", "high", "unit", "names", "size"}
_OPTION_KEYS = [
    "name",
    "level",
    "level_number",
    "number",
    "python",
    "value",
    "settable",
    "acts_on",
    "accepted_by",
    "ignored_by",
    "set_deadline",
    "on_accept",
    "privilege",
    "readable",
    "read_back_note",
    "systemd",
    "socat",
    "values",
    "meaning",
    "use",
    "caveat",
    "warning",
    "example",
]
_RESULT_KEYS = ["effective", "note", "refused", "for_this_kind", "differs", "warning"]


class SockoptsTests(ToolTestCase):
    """Run `echotime sockopts`, which uses its own sockets."""

    def out(self, *args: str, status: int = 0) -> str:
        """Return the standard output of `echotime sockopts ARGS`."""
        ended = self.tool("sockopts", *args)
        self.assertEqual(ended.returncode, status, ended.stderr)
        return ended.stdout.decode()

    def records(self, *args: str) -> dict[str, dict[str, Any]]:
        """Return the records of --json by name."""
        return {record["name"]: record for record in json.loads(self.out("--json", *args))}

    def names(self, *args: str) -> set[str]:
        """Return the names in the table."""
        return set(re.findall(r"^([A-Z][A-Z0-9]+_[A-Z0-9_]+) ", self.out(*args), re.M))

    def test_table(self) -> None:
        """Every option has a line with its value on each kind of socket, if it is settable, and its meaning."""
        table = self.out()
        self.assertEqual(self.names(), {option.name for option in CATALOGUE})
        self.assertRegex(table, r"NAME +LEVEL +TCP listener +connection +UDP +SET +MEANING\n")
        self.assertRegex(table, r"SO_ACCEPTCONN +SOL_SOCKET 30 +yes +no +no +no +Yes if the socket listens\.\n")
        self.assertRegex(table, r"TCP_KEEPCNT +IPPROTO_TCP 6 +9 +9 +- +yes +The number o")
        self.assertRegex(table, r"TCP_INFO +IPPROTO_TCP 11 +LISTEN… +ESTABLISHED… +- +no ")

    def test_python_names(self) -> None:
        """All SO_ names that this Python knows are listed, as in the original script."""
        known = {name for name in dir(socket) if re.fullmatch(r"SO_(?!VM_)[A-Z_]+", name)}
        self.assertLessEqual(known, set(re.findall(r"SO_[A-Z_]+", self.out())))

    def test_filters(self) -> None:
        """--tcp, --udp and --settable filter the list; --tcp and --udp together mean either."""
        self.assertIn("TCP_NODELAY", self.names("--tcp"))
        self.assertNotIn("SO_BROADCAST", self.names("--tcp"))
        self.assertNotIn("TCP_NODELAY", self.names("--udp"))
        self.assertEqual(self.names("--tcp", "--udp"), self.names("--tcp") | self.names("--udp"))
        settable = {option.name for option in CATALOGUE if option.settable}
        self.assertEqual(self.names("--settable"), settable)
        self.assertNotIn("UDP ", self.out("--tcp").splitlines()[0])

    def test_names(self) -> None:
        """Options are described by name in any case, or by number, also unknown numbers."""
        text = self.out("so-rcvbuf", "1:9", "1:11")
        self.assertIn("SO_RCVBUF (SOL_SOCKET 8): The size of the receive buffer of each socket.", text)
        self.assertRegex(text, r"other names +Python socket.SO_RCVBUF, systemd.socket ReceiveBuffer=, socat")
        self.assertIn("Demonstration: echotime explain SO_RCVBUF", text)
        self.assertIn("SO_KEEPALIVE (SOL_SOCKET 9)", text)
        self.assertRegex(text, r"1:11 \(SOL_SOCKET 11\)")

    def test_json(self) -> None:
        """--json prints the same facts."""
        records = self.records()
        self.assertEqual(set(records), {option.name for option in CATALOGUE})
        row = records["TCP_NODELAY"]
        self.assertEqual((row["level"], row["number"], row["python"]), ("IPPROTO_TCP", 1, "socket.TCP_NODELAY"))
        self.assertEqual(row["values"], {"listener": "off", "connection": "off"})
        self.assertEqual(records["TCP_KEEPCNT"]["value"]["high"], 127)
        self.assertEqual(row["accepted_by"], ["listener", "connection"])
        self.assertEqual({each for record in records.values() for each in record["accepted_by"]}, _ROLES)
        for record in records.values():
            self.assertEqual(list(record), _OPTION_KEYS)
            self.assertLessEqual(set(record["values"]) | set(record["ignored_by"]), _ROLES)
            self.assertLessEqual(set(record["value"]), _VALUE_KEYS)
        self.assertEqual(set().union(*(record["value"] for record in records.values())), _VALUE_KEYS)
        self.assertIsNone(records["SO_MEMINFO"]["python"])
        self.assertEqual(list(self.records("--udp", "SO_BROADCAST", "TCP_NODELAY")), ["SO_BROADCAST"])

    def test_set(self) -> None:
        """A trial shows the requested, effective and inherited values."""
        lines = self.out("--set", "SO_RCVBUF=64K").splitlines()
        self.assertEqual(lines[0], "SO_RCVBUF, requested 65536")
        self.assertRegex(lines[1], "^  TCP listener  effective 131072: the kernel doubles it, between")
        self.assertEqual(lines[2], "  connection    effective 131072: inherited")
        self.assertRegex(lines[3], "^  UDP           effective 131072: the kernel doubles it")
        record = self.records("--set", "TCP_DEFER_ACCEPT=5s", "--set", "udp:IP_TTL=9")
        self.assertEqual(record["TCP_DEFER_ACCEPT"]["results"]["listener"]["effective"], "7")
        self.assertEqual(record["TCP_DEFER_ACCEPT"]["results"]["connection"]["effective"], "0")
        self.assertTrue(record["TCP_DEFER_ACCEPT"]["results"]["connection"]["differs"])
        self.assertEqual(list(record["IP_TTL"]["results"]), ["udp"])
        for trial in record.values():
            self.assertEqual(list(trial), ["name", "requested", "results"])
            for result in trial["results"].values():
                self.assertEqual(list(result), _RESULT_KEYS)

    def test_set_by_number(self) -> None:
        """An option that is not in the catalogue is tried by its number."""
        self.assertRegex(self.out("--set", "1:11=1"), r"1:11, requested 1\n  TCP listener  effective 1\n")

    def test_warned(self) -> None:
        """A trial prints the warning that the daemon would log."""
        ended = self.tool("sockopts", "--set", "SO_LINGER=0")
        record = self.records("--set", "SO_LINGER=0")["SO_LINGER"]["results"]
        self.assertIn("reset", record["listener"]["warning"])
        self.assertIsNone(record["udp"]["warning"])
        warning = b"warning: tcp:SO_LINGER=0: with 0 every close is a reset, and data that has not arrived yet may be"
        self.assertEqual(ended.stderr, warning + b" lost\n")
        ended = self.tool("sockopts", "--set", "tcp:SO_LINGER=0")
        self.assertEqual(ended.stderr, warning + b" lost\n")

    def test_filtered_trial(self) -> None:
        """With --tcp or --udp a value is tried there alone; if no socket accepts it, the status is 1."""
        self.assertEqual(len(self.out("--udp", "--set", "IP_TTL=9").splitlines()), 2)
        self.assertEqual(len(self.out("--tcp", "--set", "IP_TTL=9").splitlines()), 3)
        self.out("--udp", "--set", "TCP_NODELAY=on", status=1)
        self.assertIn("effective 1400", self.out("--set", "17:103=1400"))
        ended = self.tool("sockopts", "--udp", "TCP_NODELAY")
        self.assertEqual((ended.returncode, ended.stdout), (0, b""))
        self.assertIn(b"no such option matches", ended.stderr)

    def test_without_loopback(self) -> None:
        """A host without loopback is reported, with status 1."""
        self.need("unshare")
        if os.geteuid() != 0:
            self.skipTest("needs root to make a network without loopback")
        for args, part in (
            (["sockopts", "--set", "SO_KEEPALIVE=on"], b"refused: this host has no IPv4 loopback (ENETUNREACH)"),
            (["explain", "IPV6_TCLASS"], b"refused: this host has no IPv6 loopback (E"),
            (["explain", "SO_OOBINLINE"], b"this host has no IPv4 loopback (ENETUNREACH)"),
        ):
            code = ["unshare", "-n", *self.command(*args)]
            ended = subprocess.run(code, capture_output=True, timeout=60, check=False)
            self.assertEqual(ended.returncode, 1, ended.stderr)
            self.assertIn(part, ended.stdout)
        ended = subprocess.run(
            ["unshare", "-n", *self.command("sockopts", "SO_TYPE")], capture_output=True, timeout=60, check=False
        )
        self.assertEqual(ended.returncode, 0)
        self.assertIn(b"UDP: no IPv4", ended.stdout)

    def test_refused(self) -> None:
        """A value that the kernel refuses is status 1 with the reason; one not applicable is none."""
        text = self.out("--set", "SO_BINDTODEVICE=none0", status=1)
        self.assertRegex(text, r"TCP listener  refused: No such device \(ENODEV\); existing interfaces: .*\blo\b")
        self.assertIn("UDP           not applicable: Protocol not available", self.out("--set", "TCP_CORK=on"))

    def test_without_privileges(self) -> None:
        """A value that needs privileges names them."""
        self.need("setpriv")
        ended = subprocess.run(
            [*_LOST, *self.command("sockopts", "--set", "SO_MARK=1")], capture_output=True, timeout=60, check=False
        )
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn(b"refused: Operation not permitted (EPERM); needs CAP_NET_ADMIN", ended.stdout)

    def test_differs(self) -> None:
        """--differs tries every option, and lists those that the kernel alters or that connections do not inherit."""
        text = self.out("--differs")
        found = set(re.findall(r"^(\w+), requested", text, re.M))
        self.assertLessEqual({"SO_RCVBUF", "TCP_DEFER_ACCEPT", "SO_PRIORITY", "TCP_MAXSEG", "TCP_QUICKACK"}, found)
        self.assertFalse(found & {"SO_KEEPALIVE", "IP_TTL", "TCP_NODELAY"})
        self.assertEqual(self.out("--differs", "--set", "SO_KEEPALIVE=on"), "")
        self.assertEqual(
            re.findall(r"^(\w+), requested", self.out("--differs", "SO_RCVBUF", "IP_TTL"), re.M), ["SO_RCVBUF"]
        )
        self.assertEqual(self.tool("sockopts", "--differs").stderr, b"", "examples are not warned of")

    def test_usage(self) -> None:
        """A fault of the command line gives status 2, with the nearest name."""
        for args, part in (
            (["SO_RCVBUFF"], b"the nearest is SO_RCVBUF"),
            (["--set", "SO_RCVBUF"], b"expected [tcp:|udp:]NAME=VALUE"),
            (["--set", "TCP_INFO=1"], b"TCP_INFO is read-only"),
            (["--set", "IP_TTL=300"], b"out of range; expected 1 to 255"),
            (["--set", "IP_TTL=3", "IP_TTL"], b"NAME cannot be combined with --set NAME=VALUE"),
        ):
            ended = self.tool("sockopts", *args)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(part, ended.stderr)

    def test_help_of_the_other_tools(self) -> None:
        """--sockopt help lists the settable names."""
        ended = self.tool("send", "--sockopt", "help")
        self.assertEqual(ended.returncode, 0)
        for name in BY_NAME:
            self.assertEqual(f"\n  {name} ".encode() in ended.stdout, BY_NAME[name].settable)

    def test_options_of_another_transport(self) -> None:
        """A tool refuses an option without effect on its sockets."""
        for args, part in (
            (["send", "--sockopt", "SO_BROADCAST=on", "127.0.0.1", "x"], b"SO_BROADCAST has no effect on a TCP socket"),
            (["send", "--sockopt", "udp:SO_RCVBUF=1K", "127.0.0.1", "x"], b"this command uses TCP"),
            (["time", "--sockopt", "TCP_NODELAY=on", "127.0.0.1"], b"TCP_NODELAY has no effect on a UDP socket"),
            (["ping", "--udp", "--sockopt", "tcp:IP_TTL=1", "127.0.0.1"], b"this command uses UDP"),
        ):
            ended = self.tool(*args)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(part, ended.stderr)
        ended = self.tool("check", "--udp", "--sockopt", "TCP_NODELAY=on", "127.0.0.1")
        self.assertEqual(ended.returncode, 3, "to a monitoring system 2 would mean that the server is down")

    def test_nobody_reads(self) -> None:
        """The tool ends without an error message if its output is not read to the end."""
        pipe = subprocess.Popen([*self.command("sockopts", "--json")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert pipe.stdout is not None
        pipe.stdout.close()
        _, said = pipe.communicate(timeout=60)
        self.assertEqual(said, b"")

    def test_chinese(self) -> None:
        """The six options of the original text are explained in Chinese."""
        six = ["SO_BINDTODEVICE", "SO_BROADCAST", "SO_DONTROUTE", "SO_KEEPALIVE", "SO_OOBINLINE", "SO_REUSEADDR"]
        text = self.tool("sockopts", *six, language=CHINESE).stdout.decode()
        for name in six:
            option = BY_NAME[name]
            for english in (option.meaning, option.use, option.caveat):
                self.assertNotIn(english, " ".join(text.split()))
        self.assertIn("网卡", text)
