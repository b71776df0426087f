"""Test the texts of --behave: what they mean, how they are shown, and what is wrong with faulty ones."""

from __future__ import annotations

import pytest
from twisted.python import usage

from echotime.behave.kinds import TCP_KINDS, UDP_KINDS, parse_behavior, parse_choice
from echotime.behave.spec import BehavingAddress, Kind, parameters_of
from echotime.config.options import DaemonOptions
from echotime.config.parsers import behaving_address, behavior
from echotime.wire.hostport import HostPort

KINDS: dict[str, type[Kind]] = {**TCP_KINDS, **UDP_KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(kind: str) -> None:
    """Each kind parses without parameters, has a docstring of its own, and shows its own defaults."""
    assert str(parse_behavior(kind)) == kind
    assert KINDS[kind].__doc__
    assert "__doc__" in vars(KINDS[kind])
    for name, parameter in parameters_of(KINDS[kind]).items():
        assert (name, parameter.help[-1], bool(parameter.shown_default)) == (parameter.name, ".", True)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_can_be_written(kind: str) -> None:
    """A default that is a number is accepted as a value, too."""
    for name, parameter in parameters_of(KINDS[kind]).items():
        if parameter.default not in {None, ""}:
            assert parameter.parse(parameter.shown_default) == pytest.approx(parameter.default), name


def test_values() -> None:
    """Values have units, hyphens stand for underscores, and the text is kept as it was given."""
    parsed = parse_behavior("half-close-first:seed=7,probability=.25")
    assert (parsed.kind, parsed.values) == ("half_close_first", {"seed": 7, "probability": 0.25})
    assert str(parsed) == "half_close_first:seed=7,probability=.25"
    assert parse_behavior(str(parsed)) == parsed
    assert parse_behavior("latency:delay=100ms").values == {"delay": pytest.approx(0.1)}
    assert parse_behavior("bandwidth:rate=2k").values == {"rate": 2048}
    assert parse_choice("echo:id=00C0FFEE").values == {"id": "00c0ffee"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a behavior; expected one of latency, "),
        ("latncy", "'latncy' is not a behavior; the nearest is latency; expected one of latency, "),
        *(
            (
                f"latency{text}",
                f"'latency{text}' is not a behavior; a colon follows the kind, as in latency:PARAMETER=VALUE",
            )
            for text in (",delay=1", "=1", " delay=1")
        ),
        ("drop, seed", "as in drop:PARAMETER=VALUE"),
        ("x" * 257, "a behavior must have at most 256 characters"),
        ("latency:", "latency has no parameter ''; expected delay, jitter, probability, seed, id"),
        ("latency:delay", "delay lacks a value; expected delay=VALUE"),
        ("latency:delay=1,delay=2", "delay is given twice"),
        ("latency:delay=3601", "delay=3601: must be a time from 0 to 3600 s"),
        ("latency:delay=-1", "delay=-1: must be at least 0"),
        ("bandwidth:rate=0", "rate=0: must be at least 1 byte"),
        ("bandwidth:rate=99999999999G", "rate=99999999999G: must be at most 2147483647"),
        *((f"drop:probability={text}", "must be a probability from 0 to 1") for text in ("", ".", "1.1", "-1", "nan")),
        ("echo:seed=1", "echo has no parameter 'seed'"),
        ("no_accept:probability=1", "no_accept has no parameter 'probability'"),
        ("echo:id=00c0ffee", "id and ended name one connection"),
        ("report:ended=00c0ffee", "id and ended name one connection"),
    ],
)
def test_faults(text: str, reason: str) -> None:
    """A faulty text gets a message with what is wrong and what is accepted."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text follows
        parse_behavior(text)
    assert reason in str(caught.value)


def test_too_many_listeners() -> None:
    """More listeners than there can be are a fault of the options. A kind of both transports counts as two."""
    DaemonOptions().parseOptions(["--behave=0=client"] * 50)
    with pytest.raises(usage.UsageError, match=r"^--behave 0=echo: more than 100 listeners of --behave$"):
        DaemonOptions().parseOptions([*["--behave=0=client"] * 50, "--behave=0=echo"])


def test_options_for_these_listeners() -> None:
    """Options that act on TCP listeners alone have an effect on one that misbehaves."""
    for behavior_text, warnings in (("echo", 0), ("drop", 2)):
        options = DaemonOptions()
        acting = ("--sockopt=tcp:SO_KEEPALIVE=on", "--proxy-protocol=192.0.2.1")
        options.parseOptions(["--udp=127.0.0.1:0", f"--behave=0={behavior_text}", *acting])
        assert [str(each) for each in options.settings.behave] == [f"127.0.0.1:0={behavior_text}"]
        assert len(options.settings.warnings) == warnings


def test_addresses() -> None:
    """A port alone is on loopback, and a wider address must be written out."""
    assert behavior("7001=drop") == BehavingAddress(HostPort("127.0.0.1", 7001), parse_behavior("drop"))
    assert behavior("0.0.0.0:7001=drop").address == HostPort("0.0.0.0", 7001)
    assert str(behavior("[::1]:7001=reset-peer:bytes=3")) == "[::1]:7001=reset_peer:bytes=3"
    assert behaving_address("7001=off") == (HostPort("127.0.0.1", 7001), None)
    assert str(behaving_address("7001=off")) == "127.0.0.1:7001=off"
    with pytest.raises(ValueError, match=r"^port 0 names no listener; expected the port of one$"):
        behaving_address("0=off")
    with pytest.raises(ValueError, match=r"'OFF' is not a behavior; the nearest is off; expected one of .*, off$"):
        behaving_address("7001=OFF")
    with pytest.raises(ValueError, match=r"'OFF' is not a behavior; expected one of .*_port$"):
        behavior("7001=OFF")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("7001", "'7001' names no behavior; expected ADDRESS=KIND"),
        ("7001=off", "only echotime control behave closes a listener"),
        ("=drop", "'' is neither a port nor ADDRESS:PORT; expected PORT, *:PORT, ADDRESS:PORT or [IPv6]:PORT"),
        ("localhost:1=drop", "'localhost' is a name, and names are not looked up"),
        ("99999=drop", "invalid port '99999'"),
    ],
)
def test_faulty_addresses(text: str, reason: str) -> None:
    """A faulty address of --behave gets the messages of other addresses."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text follows
        behavior(text)
    assert reason in str(caught.value)
