"""Test the suggestions for misspelled names, and for names that other programs have."""

from __future__ import annotations

import pytest
from twisted.python import usage
from twisted.scripts._twistd_unix import ServerOptions

from echotime.cli.control.verbs import COMMANDS, CommandSyntaxError, find_command
from echotime.cli.main import main
from echotime.config.options import DaemonOptions
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.nearest import nearest


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SO_KEEPALVE", "SO_KEEPALIVE"),
        ("NODELAY", "TCP_NODELAY"),
        ("SO_NODELAY", "TCP_NODELAY"),
        ("SO_RCVBUFF", "SO_RCVBUF"),
        ("SO_FOO", None),
        ("IP_FOO", None),
        ("", None),
        ("SO_" + "X" * 100_000, None),
    ],
)
def test_nearest(name: str, near: str | None) -> None:
    """A misspelled name has a nearest one, and a name of something else has none."""
    assert nearest(name, BY_NAME) == near


def test_exchanged() -> None:
    """Exchanged letters are similar in short names, too."""
    assert nearest("tpc", ["udp", "tcp"]) == "tcp"
    assert nearest("port", ["udp-rate", "transport", "reply", "tcp"]) is None


@pytest.mark.parametrize("name", ["clear", "cls", "clsoe", "rest", "restet"])
def test_destructive_command(name: str) -> None:
    """A command that ends connections is never suggested."""
    with pytest.raises(CommandSyntaxError, match="expected one of status, "):
        find_command(name, COMMANDS)


def test_other_names() -> None:
    """The names exit and ? stand for quit and help where these exist."""
    known = {**COMMANDS, "help": COMMANDS["status"], "quit": COMMANDS["counters"]}
    assert find_command("exit", known) is known["quit"]
    assert find_command("?", known) is known["help"]
    with pytest.raises(CommandSyntaxError, match="the nearest is status"):
        find_command("statsu", known)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--port", "5"], "unknown option --port; addresses and ports are given to --tcp and --udp"),
        (["-n"], "-n is --nodaemon of twistd: twistd -n echotime ..."),
        (["-g", "nogroup"], "-g is --gid of twistd: twistd -g VALUE echotime ..."),
        (["-p", "24112"], "-p is --profile of twistd; ports are given to --tcp and --udp"),
        (["-u", "24112"], "-u is --uid of twistd; ports are given to --tcp and --udp"),
        (["-b", "::1"], "-b is --debug of twistd; ports are given to --tcp and --udp"),
        (["-f", "x.conf"], "-f is --file of twistd; the file of options is given to --config"),
        (["--logfile", "x"], "--logfile is an option of twistd: twistd --logfile VALUE echotime ..."),
        (["-l", "x"], "-l is --logfile of twistd; ports are given to --tcp and --udp"),
        (["--nodaemon"], "--nodaemon is an option of twistd: twistd --nodaemon echotime ..."),
        (["-x"], "unknown option -x"),
        (["--tpc", "5"], "unknown option --tpc; the nearest is --tcp"),
    ],
)
def test_daemon_options(args: list[str], message: str) -> None:
    """Options of twistd and of other servers are reported with what is right."""
    options = DaemonOptions()
    options.parent = ServerOptions()
    with pytest.raises(usage.UsageError) as error:
        options.parseOptions(args)
    assert str(error.value).startswith(message)


# `check` has --port, as other monitoring plugins do
@pytest.mark.parametrize("command", ["send", "time", "ping"])
def test_server_option(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The option --port of other tools is an argument here."""
    monkeypatch.setattr("sys.argv", ["echotime", command, "--port", "5", "host"])
    with pytest.raises(SystemExit):
        main()
    assert "unknown option '--port'; to give a port, write HOST:PORT\n" in "".join(capsys.readouterr())
