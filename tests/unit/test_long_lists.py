"""Test config/options.py with long lists: linear time, and a bounded number of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from echotime.config.options import DaemonOptions
from echotime.limits.access import Networks
from tests.support.call_count import calls
from tests.unit.test_config_file import finish


def _addresses(number: int, first: int = 0) -> Iterable[str]:
    return (str(IPv4Address(first + each)) for each in range(number))


def _lines(name: str, values: Iterable[str]) -> str:
    return f"{name} =\n" + "".join(f"    {each}\n" for each in values)


def parsed(path: Path) -> DaemonOptions:
    """Return the options of a file."""
    options = DaemonOptions()
    options.parseOptions(["--config", str(path)])
    return options


def faults(path: Path) -> list[str]:
    """Return the faults of a file."""
    with pytest.raises(UsageError) as raised:
        parsed(path)
    return str(raised.value).splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a configuration file in the temporary folder."""
    return tmp_path / "echotime.conf"


SOUND: list[Callable[[int], str]] = [
    lambda number: _lines("allow", _addresses(number)) + _lines("deny", _addresses(number, 2**24)),
    lambda number: _lines("tcp", (f"127.0.0.1:{each + 1}" for each in range(number))),
]
FAULTY: list[Callable[[int], str]] = [
    lambda number: _lines("allow", _addresses(number)) + _lines("deny", _addresses(number)),
    lambda number: _lines("allow", (f"{each}.nowhere" for each in range(number))),
    lambda number: "".join(f"none{each} = x\n" for each in range(number)),
]


@pytest.mark.parametrize("form", SOUND + FAULTY)
def test_cost(path: Path, form: Callable[[int], str]) -> None:
    """Twice the lines take at most twice the time, with or without faults."""

    def work(number: int) -> int:
        path.write_text("[echotime]\n" + form(number), encoding="ascii")

        def act() -> None:
            try:
                parsed(path)
            except UsageError:
                assert form in FAULTY

        return calls(act)

    assert work(2000) < 2.5 * work(1000)


def test_read_again_in_steps(path: Path) -> None:
    """Reparsing yields at each line and each network, with the same result as parsing."""
    path.write_text("[echotime]\n", encoding="ascii")
    options = DaemonOptions()
    options.parseOptions(["--config", str(path), "--udp", "7"])
    text = "[echotime]\nreply = ok\n" + SOUND[0](1000)
    path.write_text(text, encoding="ascii")
    steps = options.reparse()
    assert sum(1 for _ in steps) > 4000
    settings = finish(options.reparse())
    assert (settings.reply, settings.tcp, len(settings.udp)) == (b"ok", (), 1)
    assert settings.allow == Networks(map(IPv4Network, _addresses(1000)))
    assert settings.deny == Networks(map(IPv4Network, _addresses(1000, 2**24)))
    path.write_text("[echotime]\n", encoding="ascii")
    assert finish(options.reparse()) == options.settings


@pytest.mark.parametrize("form", FAULTY)
def test_faults_are_bounded(path: Path, form: Callable[[int], str]) -> None:
    """The first hundred faults are reported, and the number of the others; lists come last."""
    path.write_text("[echotime]\nbacklog = many\n" + form(1000), encoding="ascii")
    found = faults(path)
    assert len(found) == 101
    assert found[-1] == "faults not listed: 901"
    assert any("backlog = many" in each for each in found) or form is FAULTY[2]


def test_long_faults(path: Path) -> None:
    """A long fault is cut in its middle, so that its end says what is accepted."""
    path.write_text("[echotime]\nbacklog = " + "x" * 100_000 + "\n" + "n" * 100_000 + " = 1\n", encoding="ascii")
    other, one = faults(path)
    assert max(map(len, (one, other))) < 1100
    assert ": unknown option nnn" in one
    assert other.endswith(": must be a whole number, at least 1")


def test_both_allowed_and_denied(path: Path) -> None:
    """A network that is allowed and denied is reported as written in the list of denied ones."""
    path.write_text("[echotime]\nallow =\n ::1\n 10.0.0.0/8\ndeny =\n 10.0.0.0/9\n ::1/128\n", encoding="ascii")
    (fault,) = faults(path)
    assert fault == f"{path}, line 7: deny = ::1/128: is also given to --allow; give it to one of the two"


@pytest.mark.parametrize("mask", ["0.0.0.255", "255.0.0.0", "0.0.0.0"])
def test_mask(path: Path, mask: str) -> None:
    """A mask is a fault: it may be a network mask, or a wildcard mask as in the access lists of routers."""
    path.write_text(f"[echotime]\ndeny = 10.0.0.0/{mask}\n", encoding="ascii")
    (fault,) = faults(path)
    assert f"'10.0.0.0/{mask}' has a mask in place of the prefix length; expected a network, as in 192" in fault


def test_mapped_network(path: Path) -> None:
    """A network of IPv4-mapped addresses is a fault, as clients match by their IPv4 addresses."""
    path.write_text("[echotime]\ndeny =\n ::ffff:192.0.2.0/120\n ::ffff:192.0.2.1\n ::/0\n", encoding="ascii")
    first, second = faults(path)
    assert first.endswith("'::ffff:192.0.2.0/120' is an IPv4 network; write it as 192.0.2.0/24")
    assert second.endswith("'::ffff:192.0.2.1' is an IPv4 network; write it as 192.0.2.1/32")
