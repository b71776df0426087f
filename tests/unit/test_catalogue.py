"""Check every row of the socket option catalogue against the running kernel."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from echotime.sockopt import listing
from echotime.sockopt.apply import OptionError, apply, get_value, read_back
from echotime.sockopt.assignment import Assignment, parse
from echotime.sockopt.catalogue.index import BY_KEY, BY_NAME, CATALOGUE, CHAPTERS
from echotime.sockopt.option import OnAccept, Option, Readable, SetDeadline, SocketRole
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.structures import Linger
from echotime.sockopt.values import Choice, Flag, Integer
from echotime.terminal.columns import fit

ROOT = Path(__file__).parents[2]
SETTABLE = [option for option in CATALOGUE if option.settable]
READ_ONLY = [option for option in CATALOGUE if not option.settable]
INHERITABLE = [option for option in SETTABLE if SocketRole.LISTENER in option.roles]
LATE = [
    row
    for row in INHERITABLE
    if row.on_accept is OnAccept.INHERITED and row.set_deadline is not SetDeadline.BEFORE_BIND
]
named = pytest.mark.parametrize


def rows(options: Iterable[Option]) -> Any:
    """Parametrize a test over these rows."""
    return named("option", options, ids=lambda option: option.name)


def requested(option: Option, text: str | None = None) -> Assignment:
    """Return an assignment of `text`, or of the example value."""
    return Assignment(option, option.value_type.parse(option.example if text is None else text))


@pytest.fixture
def scratch(request: pytest.FixtureRequest) -> Iterator[Scratch]:
    """Provide sockets of the IP version on which the row acts."""
    with Scratch(min(request.getfixturevalue("option").ip_versions)) as opened:
        yield opened


def fresh(scratch: Scratch, role: SocketRole) -> socket.socket:
    """Return a socket on which options can be set as early as possible."""
    return scratch.connection_pair()[1] if role is SocketRole.CONNECTION else scratch.open(role.transport)


def needs_root() -> None:
    """Skip the test without the privileges to set options that need them."""
    if os.geteuid() != 0:
        pytest.skip("needs root: sets options that need privileges")


@rows(SETTABLE)
@named("role", list(SocketRole))
def test_roles(option: Option, role: SocketRole, scratch: Scratch) -> None:
    """Exactly the sockets that a row names accept it, and read it back as set unless the row has a note."""
    if option.privilege:
        needs_root()
    sock = fresh(scratch, role)
    if role not in option.roles:
        with pytest.raises(OptionError):
            apply(sock, [requested(option)])
        return
    apply(sock, [requested(option)])
    reading = read_back(sock, requested(option))
    if option.readable is Readable.YES and not option.read_back_note:
        assert (reading.effective, reading.remark) == (option.value_type.show(requested(option).value), "")


@rows(SETTABLE)
def test_transports(option: Option) -> None:
    """A transport on which a row acts has a socket that accepts it."""
    assert option.transports
    assert set(option.transports) <= {role.transport for role in option.roles}


def known(option: Option) -> set[int]:
    """Return both ends of the range, and the named numbers."""
    form = option.value_type
    assert isinstance(form, Integer | Choice)
    return {*form.names.values(), *((form.low, form.high) if isinstance(form, Integer) else ())}


@rows([option for option in SETTABLE if isinstance(option.value_type, Integer | Choice)])
def test_ranges(option: Option, scratch: Scratch) -> None:
    """The kernel accepts both ends of a range and every name, and returns them unless the row has a note."""
    if option.privilege:
        needs_root()
    sock = fresh(scratch, option.roles[0])
    for value in sorted(known(option)):
        each = Assignment(option, value)
        apply(sock, [each])
        assert option.read_back_note or read_back(sock, each).remark == "", f"{each}: {read_back(sock, each)}"


REFUSED_BEYOND = [
    *("IPV6_MINHOPCOUNT", "IPV6_UNICAST_HOPS", "IPV6_MULTICAST_HOPS", "IP_MINTTL", "IP_MTU_DISCOVER"),
    *("IP_MULTICAST_TTL", "IP_TTL", "SO_BINDTOIFINDEX", "TCP_FASTOPEN", "TCP_KEEPCNT", "TCP_KEEPIDLE", "TCP_KEEPINTVL"),
    *("TCP_MAXSEG", "TCP_SAVE_SYN", "TCP_SYNCNT", "TCP_TX_DELAY", "TCP_USER_TIMEOUT"),
]


@rows([BY_NAME[name] for name in REFUSED_BEYOND])
def test_beyond_ranges(option: Option, scratch: Scratch) -> None:
    """No range is narrower than the kernel's: the next values are refused."""
    values = known(option)
    sock = fresh(scratch, option.roles[0])
    for value in {min(values) - 1, max(values) + 1} - {2**31}:
        with pytest.raises(OSError, match=r"Invalid argument"):
            sock.setsockopt(option.level_number, option.number, value)


@rows(READ_ONLY)
def test_read_only(option: Option, scratch: Scratch) -> None:
    """A read-only row can be read on the sockets that it names only, and the kernel refuses to set it."""
    with pytest.raises(ValueError, match="read-only"):
        parse(f"{option.name}=1")
    for role in SocketRole:
        sock = scratch.ready_socket(role)
        if role in option.roles:
            assert option.value_type.show(get_value(sock, option))
        else:
            with pytest.raises(OSError, match=r"\w"):
                get_value(sock, option)
        with pytest.raises(OSError, match=r"\w"):
            sock.setsockopt(option.level_number, option.number, 1)


@rows([option for option in CATALOGUE if option.readable is Readable.NO])
def test_set_only(option: Option, scratch: Scratch) -> None:
    """The kernel refuses to read a row that says it cannot be read back."""
    with pytest.raises(OSError, match=os.strerror(errno.ENOPROTOOPT)):
        get_value(scratch.open("udp"), option)


@rows([option for option in SETTABLE if option.read_back_note])
def test_read_back_notes(option: Option, scratch: Scratch) -> None:
    """The example of a read-back note reads back as another value, with the reason of the note."""
    if option.privilege:
        needs_root()
    assert option.read_back_note
    sock = scratch.open(option.read_back_note.transport)
    each = requested(option, option.read_back_note.example)
    apply(sock, [each])
    reading = read_back(scratch.bind(sock), each)
    assert reading.remark == option.read_back_note.reason
    assert reading.effective != option.value_type.show(each.value)


@rows(INHERITABLE)
def test_on_accept(option: Option, scratch: Scratch) -> None:
    """An accepted connection gets what the row says."""
    if option.privilege:
        needs_root()
    listener = scratch.open("tcp")
    apply(listener, [requested(option)])
    before = get_value(listener, option)
    inherited = get_value(scratch.connection_pair(scratch.bind(listener))[1], option)
    assert (before == inherited) == (option.on_accept is OnAccept.INHERITED)
    if option.on_accept is OnAccept.REDUCED:
        assert 0 < int(inherited) < int(before)


@rows(LATE)
def test_late_on_a_listener(option: Option, scratch: Scratch) -> None:
    """An option set on a listening socket is inherited by later connections, unless it must be set before bind."""
    if option.privilege:
        needs_root()
    listener = scratch.bind(scratch.open("tcp"))
    apply(listener, [requested(option)])
    assert get_value(scratch.connection_pair(listener)[1], option) == get_value(listener, option)


@pytest.fixture(scope="module")
def unprivileged() -> dict[str, dict[str, str]]:
    """Return what an unprivileged process can set."""
    completed = subprocess.run(
        [sys.executable, "-m", "tests.support.unprivileged"], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    found: dict[str, dict[str, str]] = json.loads(completed.stdout)
    return found


@rows(SETTABLE)
def test_privilege(option: Option, unprivileged: dict[str, dict[str, str]]) -> None:
    """Without privileges exactly the rows that need one are refused, and the error names the privilege."""
    if option.privilege is None:
        assert unprivileged["free"][option.name] == ""
        return
    assert unprivileged["privileged"][option.name] == (
        f"Operation not permitted (EPERM); needs {option.privilege.required}"
    )


@rows([option for option in SETTABLE if option.privilege])
def test_privileged(option: Option, scratch: Scratch) -> None:
    """With privileges the kernel accepts the same values."""
    needs_root()
    assert option.privilege
    texts = [option.privilege.initial] * bool(option.privilege.initial) + [option.privilege.example]
    apply(scratch.open("tcp"), [requested(option, text) for text in texts])


def test_congestion_control() -> None:
    """An algorithm outside tcp_allowed_congestion_control is refused without privileges."""
    available, allowed = (
        Path(f"/proc/sys/net/ipv4/tcp_{which}_congestion_control").read_text(encoding="ascii").split()
        for which in ("available", "allowed")
    )
    restricted = sorted({*available} - {*allowed})
    if not restricted:
        pytest.skip("every congestion control algorithm of this host is allowed without privileges")
    code = (
        "import os, socket, sys; os.geteuid() or os.setuid(65534); "
        "socket.socket().setsockopt(6, socket.TCP_CONGESTION, sys.argv[1].encode())"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code, restricted[0]], capture_output=True, timeout=60, check=False
    )
    assert b"PermissionError" in completed.stderr


@rows([option for option in CATALOGUE if hasattr(socket, option.name)])
def test_numbers(option: Option) -> None:
    """The numbers are those of Python's constants, where it has them."""
    assert getattr(socket, option.name) == option.number
    assert getattr(socket, option.level) == option.level_number


def test_numbers_of_the_headers() -> None:
    """The numbers are those of the kernel headers, also for options that Python does not know."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to read the kernel headers with")
    source = "".join(f"#include <{each}.h>\n" for each in ("linux/in", "linux/in6", "linux/tcp", "asm/socket"))
    source += "#define IPV6_JOIN_GROUP IPV6_ADD_MEMBERSHIP\n"  # the first is RFC 3493's name, the second Linux's
    source += "".join(f'#ifdef {name}\nrow "{name}" {name}\n#endif\n' for name in BY_NAME)
    completed = subprocess.run(
        [compiler, "-E", "-P", "-"], input=source.encode(), capture_output=True, timeout=60, check=False
    )
    if completed.returncode:
        pytest.skip("the kernel headers are not installed")
    found = re.findall(r'^row "(\w+)" (\d+)$', completed.stdout.decode(), re.M)
    assert {name: int(number) for name, number in found} == {name: row.number for name, row in BY_NAME.items()}


@rows(CATALOGUE)
def test_every_sentence(option: Option) -> None:
    """Meaning, use and caveat are sentences; a settable row has a use."""
    for text in (option.meaning, option.use, option.caveat):
        assert not text or re.fullmatch(r"[A-Z0-9].*[.]", text), text
    assert option.meaning
    assert option.use or not option.settable


@rows([option for option in CATALOGUE if option.hazard])
def test_hazards(option: Option) -> None:
    """A hazardous value can be requested: it has the row's value type, and a transport on which the row acts."""
    assert option.hazard
    assert set(option.hazard.transports) <= set(option.transports)
    values = [option.value_type.parse(option.example)]
    if isinstance(option.value_type, Integer | Choice):
        values += known(option)
    if isinstance(option.value_type, Flag | Linger):
        values += [0, 1]
    assert any(value in option.hazard.values for value in values)


def test_names_and_numbers_are_unique() -> None:
    """The catalogue has 79 rows, with unique names and numbers."""
    assert len(BY_NAME) == len(BY_KEY) == len(CATALOGUE) == 79
    assert len({chapter.title for chapter in CHAPTERS}) == len(CHAPTERS)


def test_priority_after_tos() -> None:
    """IP_TOS changes SO_PRIORITY, so it is set first."""
    names = list(BY_NAME)
    assert names.index("IP_TOS") < names.index("SO_PRIORITY")


def test_aliases_socat() -> None:
    """The socat names in the catalogue are options of socat."""
    try:
        known = subprocess.run(["socat", "-hhh"], capture_output=True, timeout=60, check=True).stdout.decode()
    except FileNotFoundError:
        pytest.skip("socat is not installed")
    keywords = {option.aliases.socat for option in CATALOGUE} - {""}
    assert keywords <= set(re.findall(r"^\s+([a-z0-9-]+)", known, re.M))
    assert len(keywords) > 40


def test_aliases_systemd() -> None:
    """The systemd names in the catalogue are directives of systemd.socket."""
    program = Path("/lib/systemd/systemd")
    if not program.exists():
        pytest.skip("systemd is not installed")
    completed = subprocess.run([program, "--dump-configuration-items"], capture_output=True, timeout=60, check=False)
    section = completed.stdout.decode().partition("[Socket]")[2].partition("\n[")[0]
    directives = {option.aliases.systemd.partition("=")[0] for option in CATALOGUE} - {""}
    assert directives <= set(re.findall(r"^(\w+)=", section, re.M))
    assert len(directives) > 15


def test_everything_is_documented() -> None:
    """The overview and the details have every row; --sockopt help has every settable row, with a valid example."""
    overview = (ROOT / "docs" / "socket-options.md").read_text(encoding="utf-8")
    details = "".join(each.read_text(encoding="utf-8") for each in (ROOT / "docs" / "socket-options").glob("*.md"))
    names = "\n".join(listing.option_lines(fit))
    for option in CATALOGUE:
        assert f"`{option.name}`" in overview
        assert f"`{option.name}`" in details
        assert (f"  {option.name} " in names) == option.settable
        if option.settable:
            assert f" {option.name}={option.example} " in names
            option.value_type.parse(option.example)
