"""Test client/lookup.py and client/threads.py: numeric addresses, and the answers of a resolver that the test plays."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.threads import ThreadUnavailable
from echotime.wire.hostport import HostPort

V4, V6 = socket.AF_INET, socket.AF_INET6
PORT = 12345


def answer(monkeypatch: pytest.MonkeyPatch, found: list[tuple[Any, ...]] | Exception) -> list[str]:
    """Let getaddrinfo(3) return or raise this for names; return the list of the threads that asked for one."""
    real = socket.getaddrinfo
    threads: list[str] = []

    def play(host: str, port: int, family: int, kind: int, *, flags: int = 0) -> list[Any]:
        if flags:
            return real(host, port, family, kind, flags=flags)
        assert (host, port, kind) == ("name.example", PORT, socket.SOCK_STREAM)
        threads.append(threading.current_thread().name)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(socket, "getaddrinfo", play)
    return threads


def unlimited() -> Deadline:
    """Return a deadline that is not reached."""
    return Deadline(Clock(), None)


@pytest.mark.parametrize(
    ("host", "family", "numeric"),
    [
        ("192.0.2.7", V4, "192.0.2.7"),
        ("127.1", V4, "127.0.0.1"),
        ("2001:DB8::7", V6, "2001:db8::7"),
        ("0.0.0.0", V4, "127.0.0.1"),
        ("::", V6, "::1"),
        ("fe80::1%lo", V6, "fe80::1%lo"),
        ("ff02::1%lo", V6, "ff02::1%lo"),
        ("::1%1", V6, "::1"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_numeric(monkeypatch: pytest.MonkeyPatch, host: str, family: Any, numeric: str) -> None:
    """A numeric address needs no thread. It keeps its interface if it is link-local or multicast."""
    monkeypatch.setattr(threading.Thread, "start", None)
    (found,) = await resolve(HostPort(host, PORT), unlimited())
    assert found == ResolvedAddress(family, numeric, PORT)
    assert found.hostport == HostPort(numeric, PORT)


@pytest_twisted.ensureDeferred
async def test_order_of_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses keep the resolver's order without repetitions and without other families; a thread asks for them."""
    six, four = ("2001:db8::7", PORT, 0, 0), ("192.0.2.7", PORT)
    kind = (socket.SOCK_STREAM, 6, "")
    other = (socket.AF_PACKET, *kind, ("192.0.2.9", PORT))
    threads = answer(monkeypatch, [(V6, *kind, six), (V4, *kind, four), other, (V6, *kind, six)])
    assert await resolve(HostPort("name.example", PORT), unlimited()) == [
        ResolvedAddress(V6, "2001:db8::7", PORT),
        ResolvedAddress(V4, "192.0.2.7", PORT),
    ]
    assert threads != [threading.main_thread().name]


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        ([], ""),
        ([(socket.AF_PACKET, 1, 6, "", ("192.0.2.9", PORT))], ""),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "try again"),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), ""),
        (OSError(), ""),
        (UnicodeError("label too long"), "a label is empty, too long, or has an invalid character"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_not_found(monkeypatch: pytest.MonkeyPatch, found: Any, detail: str) -> None:
    """A name without an address is reported with the resolver's message, if it says more."""
    answer(monkeypatch, found)
    with pytest.raises(ClientError) as caught:
        await resolve(HostPort("name.example", PORT), unlimited())
    assert caught.value == ClientError(ExitStatus.NAME_NOT_FOUND, detail)


@pytest_twisted.ensureDeferred
async def test_label_too_long() -> None:
    """A name that no resolver takes is not found, also where it looks like no name at all."""
    with pytest.raises(ClientError) as caught:
        await resolve(HostPort(f"{'x' * 64}.example", PORT), unlimited())
    assert caught.value.status is ExitStatus.NAME_NOT_FOUND
    assert "label" in caught.value.detail


@pytest_twisted.ensureDeferred
async def test_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer is not waited for after the deadline, and its late answer is ignored."""
    clock, may_answer, has_answered = Clock(), threading.Event(), Deferred[None]()
    from twisted.internet import reactor

    def wait(host: str, port: int, *args: Any, flags: int = 0, **how: Any) -> list[Any]:
        if flags:
            raise socket.gaierror
        assert threading.current_thread().daemon
        may_answer.wait()
        reactor.callFromThread(reactor.callLater, 0, has_answered.callback, None)  # type: ignore[attr-defined]
        return []

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    resolving = Deferred.fromCoroutine(resolve(HostPort("name.example", PORT), Deadline(clock, 5)))
    clock.advance(4.9)
    assert not resolving.called
    clock.advance(0.1)
    may_answer.set()
    with pytest.raises(ClientError, match="no answer from the name server in time") as caught:
        await resolving
    assert caught.value.status is ExitStatus.NAME_NOT_FOUND
    await has_answered


@pytest_twisted.ensureDeferred
async def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that cannot be started is named with its purpose and with what to change."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ThreadUnavailable, match=r"for the name lookup \(.*can't start new thread; see ulimit -u"):
        await resolve(HostPort("name.example", PORT), unlimited())
