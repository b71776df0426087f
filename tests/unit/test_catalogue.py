"""sockopt/catalogue.py and apply.py, held against this kernel."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from echotime.sockopt import document
from echotime.sockopt.accept_queue import accept_queue
from echotime.sockopt.apply import OptionFailed, apply, apply_late, read, warning
from echotime.sockopt.assignment import Assignment, parse
from echotime.sockopt.catalogue import BY_NAME, CATALOGUE
from echotime.sockopt.option import Moment, OnAccept, Option

EXAMPLES = {
    "Flag": "on",
    "Integer": "5",
    "Linger": "5",
    "Device": "lo",
}
CASES = [(option, transport) for option in CATALOGUE for transport in option.transports]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Option, socket.socket]]:
    """A row and a fresh socket of a kind that it claims to act on."""
    option, transport = request.param
    family = socket.AF_INET6 if option.level == "IPPROTO_IPV6" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM) as sock:
        yield option, sock


def example(option: Option) -> Assignment:
    """A value that the option can take and is not its default."""
    return Assignment(option, option.form.parse(EXAMPLES[type(option.form).__name__]))


def test_settable(case: tuple[Option, socket.socket]) -> None:
    """Every settable row can be set before bind on each kind it claims, and reads back as set or says why not."""
    option, sock = case
    if not option.settable:
        with pytest.raises(ValueError, match="read-only"):
            option.form.parse("1")
        return
    apply(sock, [example(option)])
    reading = read(sock, example(option))
    if not option.altered:
        assert reading.remark == ""
    assert reading.effective != "unknown"


def test_read_only() -> None:
    """A read-only row can be read."""
    with socket.socket() as sock:
        for option in CATALOGUE:
            if not option.settable:
                assert len(sock.getsockopt(option.level_number, option.number, option.form.size)) > 4


def test_accept() -> None:
    """Every row is right about what becomes of it on an accepted connection."""
    for option in CATALOGUE:
        if not option.settable or "tcp" not in option.transports:
            continue
        family, host = (socket.AF_INET6, "::1") if option.level == "IPPROTO_IPV6" else (socket.AF_INET, "127.0.0.1")
        with socket.socket(family) as listener, socket.socket(family) as client:
            apply(listener, [example(option)])
            listener.bind((host, 0))
            listener.listen()
            client.settimeout(10)
            client.connect(listener.getsockname()[:2])
            client.send(b"x")  # TCP_DEFER_ACCEPT waits for it
            with listener.accept()[0] as connection:
                was, came = (read(sock, example(option)).effective for sock in (listener, connection))
                assert (was == came) == (option.on_accept is OnAccept.INHERITED), option.name


@pytest.mark.parametrize("option", [each for each in CATALOGUE if hasattr(socket, each.name)], ids=lambda row: row.name)
def test_numbers(option: Option) -> None:
    """Where Python knows the constants, they are the row's."""
    assert getattr(socket, option.name) == option.number
    assert getattr(socket, option.level) == option.level_number


def test_too_late_rows() -> None:
    """A row that says before bind or before listen is left alone on a socket that is bound, and says too late."""
    late = [option for option in CATALOGUE if option.moment is not Moment.ANY_TIME]
    assert len(late) > 3
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        asked = parse("SO_REUSEADDR=on")
        apply_late(sock, [asked])
        assert str(read(sock, asked, bound_before=True)) == (
            "SO_REUSEADDR asked on, effective off: too late: it must be set before bind"
        )


def test_altered() -> None:
    """The kernel's doubling is told, as the start report tells it."""
    with socket.socket() as sock:
        asked = parse("SO_RCVBUF=65536")
        apply(sock, [asked])
        assert str(read(sock, asked)).startswith("SO_RCVBUF asked 65536, effective 131072: the kernel doubles it")


def test_same_value_in_another_form() -> None:
    """What reads back as the same bytes was not altered."""
    with socket.socket() as sock:
        apply(sock, [parse("1:40=hex:01000000")])
        assert str(read(sock, parse("1:40=hex:01000000"))) == "1:40 asked hex:01000000, effective 1"
        assert "asked default, effective 64" in str(read(sock, parse("IP_TTL=default")))


def test_unreadable() -> None:
    """An option that cannot be read back says so."""
    with socket.socket() as sock:
        assert "it cannot be read back" in str(read(sock, parse("1:32=1")))


def test_refused() -> None:
    """What the kernel refuses names the option, the reason and the errno."""
    with (
        socket.socket() as sock,
        pytest.raises(OptionFailed, match=r"^1:999=1: Protocol not available \(ENOPROTOOPT\)$"),
    ):
        apply(sock, [parse("1:999=1")])


def test_unknown_interface() -> None:
    """A missing interface names those that are there."""
    with socket.socket() as sock, pytest.raises(OptionFailed, match=r"ENODEV\); the interfaces here are .*\blo\b"):
        apply(sock, [parse("SO_BINDTODEVICE=none0")])


def test_dangers() -> None:
    """Only the dangerous value on the dangerous transport warns."""
    assert "take our datagrams" in warning(parse("SO_REUSEADDR=on"), "udp")
    assert warning(parse("SO_REUSEADDR=on"), "tcp") == ""
    assert warning(parse("SO_REUSEADDR=off"), "udp") == ""
    assert "reset" in warning(parse("SO_LINGER=0"), "tcp")


def test_accept_queue() -> None:
    """The queue's length and limit are read from the listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(7)
        with socket.create_connection(listener.getsockname(), timeout=10):
            assert accept_queue(listener) == (1, 7)


def test_every_sentence() -> None:
    """Meanings are sentences; names are unique and known to their level."""
    assert len(BY_NAME) == len(CATALOGUE)
    for option in CATALOGUE:
        assert re.fullmatch(r"[A-Z].*\.", option.meaning), option.name
        assert option.transports


def test_document_is_current() -> None:
    """docs/socket-options.md is what the catalogue makes of itself (`make docs`)."""
    path = Path(__file__).parents[2] / "docs" / "socket-options.md"
    assert path.read_text(encoding="utf-8") == document.markdown()
