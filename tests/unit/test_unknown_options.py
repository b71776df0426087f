"""Test cli/unknown_options.py: options of other tools, misspelled names, and arguments too many."""

from __future__ import annotations

import sys

import pytest

from echotime.cli.main import _parse

_AS_MESSAGE = "to send it as the message, write -- before it"


def usage_error(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the message of a command line that has a fault."""
    monkeypatch.setattr(sys, "argv", ["echotime", *line.split()])
    with pytest.raises(SystemExit):
        _parse(line.split())
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("try 'echotime ")
    return (captured.out or captured.err).splitlines()[0].partition(" - " if captured.out else "error: ")[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # a value before the server is not blamed
        ("ping -c1 -t 64 h:7", "unknown option '-t'; the TTL is --sockopt IP_TTL=N"),
        ("time -x 64 h:7", "unknown option '-x'"),
        ("time --xyz 64 h:7", "unknown option '--xyz'"),
        ("check -x 64 h:7", "unknown option '-x'"),
        ("sockopts -x 64", "unknown option '-x'"),
        ("explain -x 64", "unknown option '-x'"),
        ("control -x 64 status", "unknown option '-x'"),
        # ports
        ("send -p 7 h hello", "unknown option '-p'; to give a port, write HOST:PORT"),
        ("time -p 7 h", "unknown option '-p'; to give a port, write HOST:PORT"),
        ("ping --port 7 h", "unknown option '--port'; to give a port, write HOST:PORT"),
        ("time --host h", "unknown option '--host'; the server is given as HOST:PORT"),
        ("time h 21987", "unexpected argument '21987'; to give a port, write h:21987"),
        ("send h 21987 hi", "unexpected argument 'hi'; to give a port, write h:21987"),
        ("send h hello hi", "unexpected argument 'hi'"),
        ("ping h -- -x", "unexpected argument '-x'"),
        # options of nc
        ("send -N h:7 hello", "unknown option '-N'; send half-closes by itself"),
        ("send -u h:7 hello", "unknown option '-u'; for UDP, see echotime time"),
        ("send --udp h:7", "unknown option '--udp'; for UDP, see echotime time"),
        ("send -w 3 h:7", "unknown option '-w'; the time limit is --timeout TIME"),
        ("send -z h:7", "unknown option '-z'; to test a server, see echotime check"),
        ("send -vz h:7", "unknown option '-vz'; to test a server, see echotime check"),
        # messages
        ("send h:7 -hello", f"unknown option '-hello'; {_AS_MESSAGE}"),
        ("send h:7 -quux", f"unknown option '-quux'; {_AS_MESSAGE}"),
        ("send h:7 hello -x", f"unknown option '-x'; {_AS_MESSAGE}"),
        # the nearest option
        ("check -u h", "unknown option '-u'; the nearest is --udp"),
        ("ping -udp h", "unknown option '-udp'; the nearest is --udp"),
        ("send -verify h x", "unknown option '-verify'; the nearest is --verify"),
        ("control --jsno status", "unknown option '--jsno'; the nearest is --json"),
        ("ping -n h", "unknown option '-n'"),
        # addresses of the other family
        ("send -4 ::1", "::1 is IPv6, and -4 was given"),
        ("ping -4 fe80::1%lo", "fe80::1%lo is IPv6, and -4 was given"),
        ("path -6 127.0.0.1:7", "127.0.0.1 is IPv4, and -6 was given"),
        ("check -4 -H ::1", "::1 is IPv6, and -4 was given"),
        # the nearest command
        ("sned h", "unknown command 'sned'; the nearest is send"),
        (
            "127.0.0.1",
            "unknown command '127.0.0.1'; expected one of send, time, ping, check, path, sockopts, explain, control",
        ),
    ],
)
def test_message(line: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each unknown command, option or argument has a message that says what to write."""
    assert usage_error(line, capsys, monkeypatch) == message


@pytest.mark.parametrize(
    "line",
    [
        "send h -",
        "send h -- -hello",
        "send --timeout 5 --sockopt IP_TTL=9 -q h hello",
        "send --tim 5 --keep h hello",
        "ping -c1 -Dqi.2 -pff h",
        "ping -s 1400 -4 h",
        "check -H h -p 7 -vw 5 -c tcp=7",
        "check -6 -H ::1",
        "time -4 127.0.0.1",
        "time",
        "control --json answer next -x",
        "control -s /x answer next --udp",
        "sockopts --set SO_MARK=1 SO_RCVBUF",
    ],
)
def test_known(line: str) -> None:
    """Known options are no faults, whatever their values and the words after them are."""
    _parse(line.split())
