"""Test the options of HTTP: the forms of --http, and which addresses and combinations are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from echotime.config.options import DaemonOptions
from echotime.config.parsers import http_address
from echotime.config.settings import Settings
from echotime.systemd.activation import SystemdSocket
from echotime.wire.hostport import HostPort


def settings(*args: str) -> Settings:
    """Return the settings of a command line."""
    options = DaemonOptions()
    options.parseOptions(args)
    return options.settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9180", HostPort("127.0.0.1", 9180)),
        ("0", HostPort("127.0.0.1", 0)),
        ("127.0.0.9:1", HostPort("127.0.0.9", 1)),
        ("[::1]:9180", HostPort("::1", 9180)),
        ("*:9180", HostPort("0.0.0.0", 9180)),
        ("/tmp/x", "/tmp/x"),
        ("/tmp/../tmp/x", "/tmp/x"),
        ("./http", str(Path("http").absolute())),
        ("systemd:http", SystemdSocket("http")),
    ],
)
def test_forms(text: str, expected: object) -> None:
    """A port alone is on loopback, unlike that of --tcp."""
    assert http_address(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "or the PATH of a Unix socket, with a slash"),
        ("http", "or the PATH of a Unix socket, with a slash"),
        ("localhost:80", "names are not looked up"),
        ("127.0.0.1", "the port is missing"),
        ("65536", "expected a number from 0 to 65535"),
        ("systemd", "the name is missing; expected systemd:NAME"),
        ("relhttp", "[IPv6]:PORT, systemd:NAME, or the PATH of a Unix socket, with a slash"),
        ("systemd:", "is not a descriptor name"),
        ("/nowhere/http", "there is no directory '/nowhere'"),
        ("/tmp/" + "x" * 108, "expected 1 to 107 bytes"),
    ],
)
def test_faulty(text: str, reason: str) -> None:
    """A faulty value is refused with what is accepted."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        http_address(text)


@pytest.mark.parametrize("address", ["*:9180", "192.0.2.1:9180", "[::]:9180", "[2001:db8::1]:9180", ":9180"])
def test_remote(address: str) -> None:
    """An address that other hosts can reach requires --http-allow-remote."""
    with pytest.raises(UsageError, match="other hosts can reach this address"):
        settings("--http", address)
    assert len(settings("--http", address, "--http-allow-remote", "--http-public-metrics").http) == 1


def test_combinations() -> None:
    """An address is given once. With --http there can be an operator."""
    with pytest.raises(UsageError, match="given twice"):
        settings("--http", "9180", "--http", "127.0.0.1:9180")
    assert len(settings("--http", "0", "--http", "0", "--http-public-metrics").http) == 2
    assert settings("--http", "./http", "--wait-for-operator").has_operator
    assert not settings().has_operator


def test_token_that_nobody_gets() -> None:
    """HTTP over TCP requires a control socket, which gives the token, or something to read without the token."""
    for args in (["--http", "9180"], ["--http", "./http", "--http", "9180"]):
        with pytest.raises(UsageError, match=r"^--http over TCP requires --control, whose socket gives the token, or "):
            settings(*args)
    for args in (["--http", "./http"], ["--http", "systemd:http"]):
        assert len(settings(*args).http) == 1
    for more in (["--control", "./control"], ["--http-public-metrics"]):
        assert len(settings("--http", "9180", *more).http) == 1
