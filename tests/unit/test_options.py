"""config/option_spec.py and config/settings.py: options are declared once, and everything else derives from that."""

from __future__ import annotations

import contextlib
import grp
import io
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.python.usage import UsageError
from twisted.scripts._twistd_unix import ServerOptions

from echotime.config.options import DaemonOptions
from echotime.config.settings import OPTIONS, SETTING_OPTIONS, Settings
from echotime.daemon.runtime_config import RuntimeConfig
from tests.unit.test_config_file import finish

ROOT = Path(__file__).parents[2]
OLD_NAMES = {
    "answer-low-ports": "allow-privileged-ports",
    "drain-seconds": "drain-timeout",
    "show-messages": "log-message-rate",
}


def parsed(*args: str) -> Settings:
    """Return the settings of a command line."""
    options = DaemonOptions()
    options.parseOptions(list(args))
    return options.settings


def faults(*args: str) -> list[str]:
    """Return the faults of a command line."""
    with pytest.raises(UsageError) as raised:
        parsed(*args)
    return str(raised.value).splitlines()


def test_reloadable() -> None:
    """A reload can apply exactly the options that are declared as reloadable."""
    config = RuntimeConfig(*[cast(Any, object())] * len(fields(RuntimeConfig)))
    applied = {name for names, _apply in config._appliers() for name in names}
    applied |= {name for name, _apply in config._port_appliers()}
    assert applied == {each.setting for each in SETTING_OPTIONS if each.reloadable}


@pytest.mark.parametrize("spec", OPTIONS, ids=lambda spec: spec.name)
def test_documented(spec: Any) -> None:
    """Each option has a help, a default, and, if it takes a value, a metavar, and an example that is accepted."""
    assert spec.help.endswith(".")
    if not spec.is_switch:
        assert spec.metavar
        assert spec.shown_default
        example = spec.example.strip("'")
        assert spec.is_path or spec.name == "control-group" or spec.parse(example) is not None
    elif spec.setting:
        assert getattr(Settings(), spec.setting) is False


def test_shown_defaults() -> None:
    """The defaults that are shown are those of Settings."""
    shown = {each.name: each.shown_default for each in OPTIONS}
    assert shown["backlog"] == "1024"
    assert shown["drain-timeout"] == "5"
    assert shown["ack"] == r"\nI get it!\n"
    assert shown["encoding"] == "utf-8"


def test_old_names() -> None:
    """Options that were renamed are accepted by their old names."""
    assert {old: each.name for each in OPTIONS for old in each.old_names} == OLD_NAMES
    found = parsed("--answer-low-ports", "--drain-seconds", "7", "--show-messages=8")
    assert (found.allow_privileged_ports, found.drain_timeout, found.log_message_rate) == (True, 7, 8)
    assert parsed("--reply", "--drain-seconds=3").reply == b"--drain-seconds=3"
    assert parsed("--drain", "3").drain_timeout == 3
    assert faults("--drain-seconds", "x")[0].startswith("--drain-timeout x: ")


def test_old_names_in_file(tmp_path: Path) -> None:
    """The file may have the old names, too, but not both names of an option. The command line takes precedence."""
    path = tmp_path / "echotime.conf"
    path.write_text("[echotime]\nanswer-low-ports = on\ndrain-seconds = 7\nshow-messages = 8\n", encoding="ascii")
    found = parsed("--config", str(path), "--drain-timeout", "9")
    assert (found.allow_privileged_ports, found.drain_timeout, found.log_message_rate) == (True, 9, 8)
    path.write_text("[echotime]\ndrain-seconds = 7\ndrain-timeout = 8\nshow-messages = x\n", encoding="ascii")
    twice, wrong = faults("--config", str(path))
    assert twice == f"{path}, line 3: drain-timeout and drain-seconds are the same option"
    assert wrong.startswith(f"{path}, line 4: show-messages = x: ")


def test_old_names_are_hidden() -> None:
    """Neither the help nor a suggestion, the man page or the completion has an old name."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        DaemonOptions().parseOptions(["--show-messages", "3", "--help"])
    generated = ("docs/man/twistd-echotime.8", "etc/completion/twistd-echotime.bash", "docs/options.md")
    texts = [shown.getvalue(), *((ROOT / name).read_text(encoding="utf-8").replace("\\-", "-") for name in generated)]
    for text in texts:
        assert {name for name in OLD_NAMES.values() if name not in text} == set()
        assert {name for name in OLD_NAMES if name in text} == set()
    assert faults("--answer-low-port") == ["unknown option --answer-low-port"]


def test_unchanged_at_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload does not look up an unchanged group, because a name service may block. It looks up a changed one."""
    path = tmp_path / "echotime.conf"
    path.write_text("[echotime]\ncontrol = socket\ncontrol-group = root\n", encoding="ascii")
    options = DaemonOptions()
    options.parseOptions(["--config", str(path)])
    asked: list[str] = []

    def look_up(name: str) -> grp.struct_group:
        asked.append(name)
        return grp.getgrgid(0)

    monkeypatch.setattr(grp, "getgrnam", look_up)
    assert finish(options.reparse()) == options.settings
    assert asked == []
    path.write_text("[echotime]\ncontrol = socket\ncontrol-group = adm\n", encoding="ascii")
    assert finish(options.reparse()) == options.settings
    assert asked == ["adm"]


def test_faults_of_the_file(tmp_path: Path) -> None:
    """Faults of the file have their lines and are in the order of the file, after those of the command line."""
    path = tmp_path / "echotime.conf"
    lines = ["[echotime]", "control-group = 0", "max-con = 10", "allow = 10.0.0.0/8", "  x", "logfile = x", "l = x"]
    path.write_text("\n".join([*lines, "operator =", "reply-deadline = -3", "max = 3"]), encoding="ascii")
    options = DaemonOptions()
    options.parent = ServerOptions()
    with pytest.raises(UsageError) as raised:
        options.parseOptions(["--config", str(path), "--backlog", "0"])
    in_service = "unless RUNTIME_DIRECTORY is set, as in a service"
    expected = [
        f"2: control-group requires --control, {in_service}",
        "3: unknown option max-con; the nearest is max-connections",
        "5: allow = x: 'x' is not a network; expected a network, as in 192.0.2.0/24 or 2001:db8::/32, or an address",
        "6: logfile is an option of twistd: twistd --logfile VALUE echotime ...",
        "7: l is an option of twistd: twistd -l VALUE echotime ...",
        "8: operator = : '' is not a switch; expected on or off",
        "9: reply-deadline = -3: must be more than 0",
        "10: unknown option max; the nearest is max-questions or max-questions-per-source or max-connections or "
        "max-per-source",
    ]
    assert str(raised.value).splitlines() == [
        "--backlog 0: must be at least 1",
        *(f"{path}, line {each}" for each in expected),
    ]


def checked(*args: str) -> str:
    """Return what --check prints of options without a fault, as twistd calls it without -n."""
    options = DaemonOptions()
    options.parent = ServerOptions()
    with contextlib.redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit):
        options.parseOptions(["--check", *args])
    return shown.getvalue()


def test_check_outside_of_the_service(tmp_path: Path) -> None:
    """--check warns of what only the service has: a terminal, and a directory for the control socket."""
    path = tmp_path / "echotime.conf"
    path.write_text("[echotime]\noperator = on\nreply-deadline = 3\ncontrol-group = 0\nhttp = 9180\n", encoding="ascii")
    in_service = "unless RUNTIME_DIRECTORY is set, as in a service"
    assert checked("--config", str(path)).splitlines() == [
        f"warning: {path}, line 2: operator requires twistd -n: a daemon in the background has no terminal",
        f"warning: {path}, line 4: control-group requires --control, {in_service}",
        f"warning: {path}, line 5: http over TCP requires --control, whose socket gives the token, or "
        f"--http-public-metrics for metrics and health alone, {in_service}",
        f"{path}: no faults",
    ]
    assert checked("--reply-deadline", "3") == (
        f"warning: --reply-deadline requires --operator, --control or --http, {in_service}\nno faults\n"
    )
    path.write_text("[echotime]\nlog-also = datagrams\nlog-message-rate = 0\n", encoding="ascii")
    assert faults("--check", "--config", str(path)) == [
        f"{path}, line 2: log-also datagrams requires a --log-message-rate of 1 or more"
    ]


_TCP_ONLY = (
    "backlog, ack, reply, reply-deadline, wait-for-operator, max-questions, max-questions-per-source, proxy-protocol, "
    "max-connections, max-per-source, idle-timeout, half-closed-timeout, session-timeout, drain-timeout"
)
_UDP_ONLY = "epoch, udp-rate, require-sync, allow-privileged-ports, answer-broadcast"


@pytest.mark.parametrize(
    ("listener", "missing", "names", "kind"),
    [("udp", "TCP", _TCP_ONLY, "empty"), ("tcp", "UDP", _UDP_ONLY, "datagrams")],
)
def test_without_listener(listener: str, missing: str, names: str, kind: str) -> None:
    """Options of a transport that is not served are one warning. A listener of --behave serves it, too."""
    by_name = {each.name: each for each in OPTIONS}
    args = [f"--{listener}", "127.0.0.1:7", "--log-also", "empty", "--log-also", "datagrams", "--control", "./control"]
    for name in names.split(", "):
        args += [f"--{name}"] if by_name[name].is_switch else [f"--{name}", by_name[name].example.strip("'")]
    expected = f"no effect without a {missing} listener: {names}, log-also {kind}"
    assert parsed(*args).warnings == (expected,)
    assert checked(*args) == f"warning: {expected}\nno faults\n"
    behavior = "drop" if missing == "UDP" else "latency"
    assert parsed(*args, "--behave", f"8={behavior}").warnings == ()
    inherited = [f"--{listener}", "127.0.0.1:7", f"--{missing.lower()}", "systemd:x", *args[2:]]
    assert parsed(*inherited).warnings == ()


def test_defaults_are_no_warning(tmp_path: Path) -> None:
    """An option that has its default value has no effect in any case."""
    path = tmp_path / "echotime.conf"
    path.write_text("[echotime]\nudp = 7\nbacklog = 1024\nwait-for-operator = off\nreply =\n", encoding="ascii")
    assert parsed("--config", str(path)).warnings == ()


def test_record_without_directory(tmp_path: Path) -> None:
    """--check and a reload find that a record cannot be opened. A reload leaves an unchanged one alone."""
    path, directory = tmp_path / "echotime.conf", tmp_path / "log"
    path.write_text(f"[echotime]\nrecord = {directory}/r\n", encoding="utf-8")
    reason = f"{path}, line 2: record = {directory}/r: there is no directory '{directory}'"
    for args in (["--check"], []):
        assert faults("--config", str(path), *args) == [reason]
    directory.mkdir()
    options = DaemonOptions()
    options.parseOptions(["--config", str(path)])
    directory.rmdir()
    assert finish(options.reparse()).record == f"{directory}/r"
    path.write_text(f"[echotime]\nrecord = {directory}/s\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"record = {directory}/s: there is no directory '{directory}'$"):
        finish(options.reparse())


def test_record_below_chroot(tmp_path: Path) -> None:
    """A path that --chroot changes is not checked at a start."""
    options = DaemonOptions()
    options.parent = ServerOptions()
    options.parent["chroot"] = str(tmp_path)
    options.parseOptions(["--record", "/nowhere/r"])
    assert options.settings.record == "/nowhere/r"


def test_directory_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path whose directory this user may not search is one fault."""

    def refuse(path: Path, **named: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    assert faults("--control", "/x/y/z") == ["--control /x/y/z: cannot find the directory '/x/y': Permission denied"]


def test_requirements() -> None:
    """Options that have no effect without another option are faults."""
    unless = "unless RUNTIME_DIRECTORY is set, as in a service"
    assert faults("--reply-deadline", "3", "--wait-for-operator", "--control-group", "0") == [
        f"--wait-for-operator requires --operator, --control or --http, {unless}",
        f"--reply-deadline requires --operator, --control or --http, {unless}",
        f"--control-group requires --control, {unless}",
    ]
    assert faults("x", "y") == ["unexpected argument 'x'"]
    for address in ("12345", "[::1]:7"):
        assert faults(address)[0].startswith(f"unexpected argument '{address}'; addresses and ports are given to --tcp")


@pytest.mark.parametrize("args", [["--port", "7"], ["--port=7"], ["--tcp", "7", "--port"]])
def test_port_is_not_short_for_port_file(args: list[str]) -> None:
    """An option of other servers is unknown, although it begins like --port-file. As a value it is not an option."""
    (fault,) = faults(*args)
    assert fault.startswith("unknown option --port; addresses and ports are given to --tcp and --udp")
    assert parsed("--reply", "--port").reply == b"--port"
