"""Test sockopt/apply.py, tcp_info.py, errno_name.py and trial.py on real sockets."""

from __future__ import annotations

import errno
import socket

import pytest

from echotime.sockopt.apply import OptionError, apply, apply_after_bind, get_value, read_back, warning
from echotime.sockopt.assignment import parse
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import SocketRole
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import bytes_acked, read_tcp_info
from echotime.sockopt.trial import TrialResult, current_values, try_option


def test_too_late() -> None:
    """An option that must be set before bind is not set on a bound socket, and the remark says so."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        requested = parse("IP_FREEBIND=on")
        apply_after_bind(sock, [requested])
        assert str(read_back(sock, requested, was_bound=True)) == (
            "IP_FREEBIND requested on, effective off: too late: it must be set before bind"
        )


@pytest.mark.parametrize("bound_before", [False, True])
def test_altered(bound_before: bool) -> None:
    """The remark explains that the kernel doubles the value, also on a socket passed in bound."""
    with socket.socket() as sock:
        requested = parse("SO_RCVBUF=65536")
        apply(sock, [requested])
        assert "the kernel doubles it" in read_back(sock, requested, was_bound=bound_before).remark
        line = str(read_back(sock, requested))
        assert line.startswith("SO_RCVBUF requested 65536, effective 131072: the kernel doubles it")


def test_same_value_in_another_form() -> None:
    """A value with the same bytes in another notation has no remark."""
    with socket.socket() as sock:
        apply(sock, [parse("1:11=hex:01000000")])
        assert str(read_back(sock, parse("1:11=hex:01000000"))) == "1:11 requested hex:01000000, effective 1"
        assert "requested default, effective 64" in str(read_back(sock, parse("IP_TTL=default")))


def test_unreadable() -> None:
    """The remark says that an option cannot be read back, by name and by number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert str(read_back(sock, parse("IP_ADD_MEMBERSHIP=239.1.2.3"))) == (
            "IP_ADD_MEMBERSHIP requested 239.1.2.3, effective unknown: it cannot be read back"
        )
        assert "effective unknown: it cannot be read back: Protocol not available" in str(
            read_back(sock, parse("0:36=1"))
        )


def test_read_by_another_number() -> None:
    """SO_RCVBUFFORCE is read back as SO_RCVBUF."""
    with socket.socket() as sock:
        apply(sock, [parse("SO_RCVBUF=64K")])
        assert "effective 131072" in str(read_back(sock, parse("SO_RCVBUFFORCE=64K")))


def test_refused() -> None:
    """The error of a refused option names the option, the reason and the errno."""
    with (
        socket.socket() as sock,
        pytest.raises(OptionError, match=r"^1:999=1: Protocol not available \(ENOPROTOOPT\)$"),
    ):
        apply(sock, [parse("1:999=1")])


@pytest.mark.parametrize("text", ["SO_BINDTODEVICE=none0", "IP_ADD_MEMBERSHIP=239.1.2.3%none0"])
def test_unknown_interface(text: str) -> None:
    """The error for a missing interface names the existing ones."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(OptionError, match=r"ENODEV\); existing interfaces: .*\blo\b"),
    ):
        apply(sock, [parse(text)])


def test_joined() -> None:
    """A socket that joined a group on loopback receives its datagrams."""
    with Scratch() as scratch:
        member, sender = scratch.open("udp"), scratch.open("udp")
        apply(member, [parse("IP_ADD_MEMBERSHIP=239.1.2.3%lo")])
        member.bind(("239.1.2.3", 0))
        apply(sender, [parse("IP_MULTICAST_IF=127.0.0.1")])
        sender.sendto(b"hello", member.getsockname())
        assert member.recv(100) == b"hello"


def test_hazards() -> None:
    """Only hazardous values on the transport of the hazard have a warning."""
    assert "take our datagrams" in warning(parse("SO_REUSEADDR=on"), "udp")
    assert warning(parse("SO_REUSEADDR=on"), "tcp") == ""
    assert warning(parse("SO_REUSEADDR=off"), "udp") == ""
    assert "reset" in warning(parse("SO_LINGER=0"), "tcp")
    assert warning(parse("SO_LINGER=5"), "tcp") == ""
    assert warning(parse("SO_RCVLOWAT=1"), "tcp") == ""
    assert "waits until more bytes" in warning(parse("SO_RCVLOWAT=2"), "tcp")
    assert "nonblocking" in warning(parse("SO_RCVTIMEO=1s"), "udp")


def test_bytes_acked() -> None:
    """bytes_acked counts what the peer acknowledged, not what waits in the send buffer."""
    with socket.socket() as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            before = bytes_acked(server)
            server.setblocking(False)
            sent = server.send(bytes(1_000_000))
            server.setblocking(True)
            client.recv(1)
            assert before < bytes_acked(server) < sent


def test_tcp_info() -> None:
    """TCP_INFO shows the queue of a listener, and the states of open, unconnected and half-closed sockets."""
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 7)
        client = scratch.connected_client(listener)
        assert (read_tcp_info(listener).accept_queue, read_tcp_info(listener).accept_queue_limit) == (1, 7)
        assert str(read_tcp_info(listener)) == "LISTEN, 1 pending, limit 7"
        assert str(read_tcp_info(scratch.open("tcp"))) == "CLOSE"
        info = read_tcp_info(client)
        assert (info.state, info.probes, info.total_retransmits) == ("ESTABLISHED", 0, 0)
        assert info.cwnd > 0 < info.rtt < 1000
        client.shutdown(socket.SHUT_WR)
        connection = scratch.accept(listener)
        assert connection.recv(1) == b""
        assert read_tcp_info(connection).state == "CLOSE_WAIT"


def test_unsent_is_unacknowledged() -> None:
    """`unacked` counts segments that the peer drops."""
    with Scratch() as scratch:
        client, connection = scratch.connection_pair()
        apply(client, [parse("IP_MINTTL=255")])  # the client drops every segment
        connection.send(b"x")
        assert read_tcp_info(connection).unacked == 1


def test_errno_names() -> None:
    """The names are those of the man pages, also for shared numbers."""
    assert errno_name(OSError(errno.EOPNOTSUPP, "")) == "EOPNOTSUPP"
    assert errno_name(OSError(errno.EWOULDBLOCK, "")) == "EAGAIN"
    assert errno_name(OSError(errno.EINVAL, "")) == "EINVAL"
    assert errno_name(OSError(99999, "")) == "99999"
    assert errno_name(TimeoutError()) == "ETIMEDOUT"


def trial(text: str) -> dict[SocketRole, TrialResult]:
    """Return the results of a trial by kind of socket."""
    return {each.role: each for each in try_option(parse(text))}


def test_trial() -> None:
    """A trial shows effective, inherited, changed, ineffective and refused values."""
    found = trial("TCP_DEFER_ACCEPT=5s")
    assert found[SocketRole.LISTENER].effective == "7"
    assert found[SocketRole.LISTENER].differs
    assert (found[SocketRole.CONNECTION].effective, found[SocketRole.CONNECTION].differs) == ("0", True)
    assert found[SocketRole.UDP].refused
    assert trial("SO_PRIORITY=5")[SocketRole.CONNECTION].remark.startswith("not inherited: echotime sets it")
    assert trial("1:1=0")[SocketRole.CONNECTION].remark == "inherited", "what was read counts, not what the row says"
    assert trial("TCP_QUICKACK=off")[SocketRole.CONNECTION].remark.startswith("not inherited")
    found = trial("SO_KEEPALIVE=on")
    assert [each.differs for each in found.values()] == [False] * 3
    assert found[SocketRole.CONNECTION].remark == "inherited"
    assert found[SocketRole.UDP].remark == "accepted, but has no effect"


def test_trial_on_one_transport() -> None:
    """With tcp: or udp: a value is tried on that transport only."""
    assert list(trial("udp:IP_TTL=9")) == [SocketRole.UDP]
    assert list(trial("tcp:IP_TTL=9")) == [SocketRole.LISTENER, SocketRole.CONNECTION]


def test_trial_where_it_is_refused() -> None:
    """If the listener refuses a value, there is no connection in the results."""
    assert trial("41:23=1")[SocketRole.LISTENER].effective == "1", "an IPv6 option is tried on IPv6"
    assert list(trial("SO_BINDTODEVICE=none0")) == [SocketRole.LISTENER, SocketRole.UDP]
    assert trial("IP_ADD_MEMBERSHIP=239.1.2.3%lo")[SocketRole.UDP] == TrialResult(
        SocketRole.UDP, "", "it cannot be read back"
    )


def test_no_connection() -> None:
    """If no connection can be established, the remark says so, and nothing hangs."""
    outcome = trial("IP_MINTTL=255")[SocketRole.CONNECTION]
    assert (outcome.remark, outcome.differs) == ("no connection: ETIMEDOUT", True)


def test_shown_values() -> None:
    """Each kind of socket has a value or an errno name; kinds without the option are left out."""
    assert current_values(BY_NAME["SO_TYPE"]) == {
        SocketRole.LISTENER: "stream",
        SocketRole.CONNECTION: "stream",
        SocketRole.UDP: "datagram",
    }
    assert list(current_values(BY_NAME["SO_PROTOCOL"]).values()) == ["tcp", "tcp", "udp"]
    with Scratch(6) as scratch:
        assert BY_NAME["SO_DOMAIN"].value_type.show(get_value(scratch.open("udp"), BY_NAME["SO_DOMAIN"])) == "inet6"
    assert current_values(BY_NAME["IP_MTU"])[SocketRole.LISTENER] == "ENOTCONN"
    assert list(current_values(BY_NAME["TCP_NODELAY"])) == [SocketRole.LISTENER, SocketRole.CONNECTION]
    assert current_values(BY_NAME["IPV6_V6ONLY"])[SocketRole.UDP] == "off", "as it is before bind"
    assert current_values(BY_NAME["IP_ADD_MEMBERSHIP"]) == {}


def test_memory() -> None:
    """The counters of SO_MEMINFO have the right names: the buffer sizes equal SO_RCVBUF and SO_SNDBUF."""
    row = BY_NAME["SO_MEMINFO"]
    with Scratch() as scratch:
        sock = scratch.bind(scratch.open("udp"))
        scratch.connected_client(sock).send(bytes(100))
        shown = row.value_type.show(get_value(sock, row))
        sizes = [sock.getsockopt(socket.SOL_SOCKET, each) for each in (socket.SO_RCVBUF, socket.SO_SNDBUF)]
    assert f"rcvbuf {sizes[0]}, wmem 0, sndbuf {sizes[1]}," in shown
    assert not shown.startswith("rmem 0,")
    assert shown.endswith("drops 0")


def test_saved_syn() -> None:
    """The headers of the SYN are saved with TCP_SAVE_SYN, and can be read once."""
    row = BY_NAME["TCP_SAVED_SYN"]
    with Scratch() as scratch:
        listener = scratch.open("tcp")
        apply(listener, [parse("TCP_SAVE_SYN=on")])
        connection = scratch.connection_pair(scratch.bind(listener))[1]
        headers = [connection.getsockopt(row.level_number, row.number, row.value_type.size) for _ in range(2)]
        assert headers[0][0] >> 4 == 4, "an IPv4 header"
        assert headers[1] == b""


def test_error_is_gone_once_read() -> None:
    """Reading SO_ERROR clears it, as its catalogue row says."""
    row = BY_NAME["SO_ERROR"]
    with Scratch() as scratch:
        closed = scratch.bind(scratch.open("udp"))
        client = scratch.connected_client(closed)
        closed.close()
        client.send(b"x")
        read_twice = [client.getsockopt(row.level_number, row.number) for _ in range(2)]
        assert read_twice == [errno.ECONNREFUSED, 0]
