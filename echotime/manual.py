"""The man pages echotime(1) and twistd-echotime(8), made from the parsers: ``python -m echotime.manual docs/man``.

What an option does is said once, where it is declared; here is what no option says. See man-pages(7), man(7).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from echotime.command.main import parser as tool_parser
from echotime.daemon.options import Options

_DATE = "2026-11-28"
_STATUSES = (
    ("0", "It worked out."),
    (
        "1",
        "Wrong bytes, or a failure that has no number of its own; ping: no answer at all; sockopts: a value "
        "was refused; explain: something was not as described.",
    ),
    ("2", "The command line is wrong."),
    ("3", "Connection refused."),
    ("4", "Timed out."),
    ("5", "The connection was reset."),
    ("6", "Name not found."),
    ("7", "No answer."),
)
_SEE_SOCKETS = (".BR socket (7),", ".BR tcp (7),", ".BR udp (7),", ".BR ip (7),", ".BR ipv6 (7)")
_FILES = {"echotime.1": "tools", "twistd-echotime.8": "daemon"}


def _escaped(text: str) -> str:
    """Plain text as roff: what roff would read as its own is marked."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def _head(name: str, section: int, what: str) -> list[str]:
    return [
        '.\\" Made from the parsers by make docs; edit those.',
        f'.TH {name.upper()} {section} {_DATE} echotime "echotime manual"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(what)}",
    ]


def _entry(term: str, text: str) -> list[str]:
    return [".TP", f".B {_escaped(term)}", _escaped(text)]


def tools() -> str:
    """echotime(1)."""
    whole = tool_parser()
    lines = _head("echotime", 1, "talk to an echo-with-reply and time server")
    lines += [".SH SYNOPSIS", ".B echotime", r"\fICOMMAND\fR [\fIOPTIONS\fR]", ".SH DESCRIPTION"]
    lines += [_escaped(str(whole.description)), ".SH COMMANDS"]
    for name, command in _subcommands(whole).items():
        lines += [f".SS echotime {name}", *_usage(command), ".PP", _escaped(str(command.description))]
        for action in command._actions:
            if action.help and action.dest != "help":
                lines += _entry(_term(action), action.help % {"default": action.default})
        lines += [".PP", *_as_it_stands(str(command.epilog))]
    lines += [".SH EXIT STATUS", "Of send, time and control:"]
    for status, meaning in _STATUSES:
        lines += _entry(status, meaning)
    lines += [".PP", _escaped("check follows the monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown.")]
    lines += [".SH ENVIRONMENT", *_entry("LANGUAGE, LC_ALL, LC_MESSAGES, LANG", "The language of all messages.")]
    return "\n".join(
        [*lines, ".SH SEE ALSO", ".BR twistd\\-echotime (8),", ".BR nc (1),", ".BR ss (8),", *_SEE_SOCKETS, ""]
    )


def _as_it_stands(text: str) -> list[str]:
    """Text of several lines keeps them; of one, it is filled."""
    return [".nf", _escaped(text), ".fi"] if "\n" in text else [_escaped(text)]


def _subcommands(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    return dict(action.choices)


def _usage(command: argparse.ArgumentParser) -> list[str]:
    text = " ".join(command.format_usage().removeprefix("usage: ").split())
    return [".B " + _escaped(text)]


def _term(action: argparse.Action) -> str:
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else "")
    names = ", ".join(action.option_strings)
    takes = action.nargs != 0
    return f"{names} {value}".strip() if takes else names


def daemon() -> str:
    """twistd-echotime(8)."""
    options = Options()
    lines = _head("twistd-echotime", 8, "TCP echo-with-reply and UDP time server")
    lines += [".SH SYNOPSIS", ".B twistd", r"[\fITWISTD OPTIONS\fR] \fBechotime\fR [\fIOPTIONS\fR]", ".SH DESCRIPTION"]
    lines += [_escaped(options.longdesc), ".SH OPTIONS"]
    for name, text in _daemon_options(options):
        lines += _entry(f"--{name}", text)
    lines += [".SH CONFIGURATION FILE", _escaped(_FILE), ".PP", *_as_it_stands(_SAMPLE)]
    for heading, entries in _DAEMON.items():
        lines += [f".SH {heading}"]
        for term, text in entries:
            lines += _entry(term, text)
    return "\n".join([*lines, ".SH SEE ALSO", ".BR echotime (1),", ".BR twistd (1),", *_SEE_DAEMON, *_SEE_SOCKETS, ""])


_FILE = (
    "--config names a file of one section, [echotime], with options by the names of the command line, without their "
    "dashes. What may be given several times stands on lines of its own below the first, indented; a switch is on or "
    "off; a comment stands on a line of its own. What the command line says goes before. --check tells every fault "
    "and ends with status 0 or 2."
)
_SAMPLE = """\
    [echotime]
    # who is served
    allow = 192.0.2.0/24
        2001:db8::/32
    idle-timeout = 10m
    sockopt = tcp:SO_KEEPALIVE=on"""
_DAEMON: dict[str, tuple[tuple[str, str], ...]] = {
    "SIGNALS": (
        (
            "SIGTERM, SIGINT",
            "Close the ports, give connections what they are owed for at most --drain-seconds, and end by the signal. "
            "A second one ends at once.",
        ),
        (
            "SIGHUP",
            "With --config: read the options again. A faulty file changes nothing, and the log says why; else what can "
            "be changed while it runs is, and the log names it, and what takes a restart. Without --config it ends "
            "the daemon at once.",
        ),
    ),
    "EXIT STATUS": (
        ("0", "--help, --version, or --check without a fault."),
        (
            "1",
            "It could not start, or not serve on, as a port was lost or no memory was left; one line on standard error "
            "says why.",
        ),
        ("2", "The command line, or the file, is wrong; standard error has a line for each fault."),
    ),
    "ENVIRONMENT": (
        ("LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES", "Sockets that the service manager passes in: --tcp systemd."),
        ("NOTIFY_SOCKET", "Who is told of readiness, status, reloads and the stop: sd_notify(3)."),
        (
            "WATCHDOG_USEC, WATCHDOG_PID",
            "How often it has to be told that all is well, which is so when every listener has answered a question.",
        ),
        ("RUNTIME_DIRECTORY", "Of a service of systemd: where its control socket is, unless --control names one."),
    ),
    "FILES": (
        ("/etc/echotime/echotime.conf", "What echotime.service, echotime-direct.service and the instances read."),
        (
            "/etc/default/echotime, /etc/default/echotime-7777",
            "ECHOTIME_OPTIONS, more options of the command line, of these and of echotime@7777.service.",
        ),
        ("/run/echotime/control, /run/echotime-7777/control", "Their control sockets, for echotime control."),
    ),
}
_SEE_DAEMON = (".BR systemd.socket (5),", ".BR systemctl (1),", ".BR journalctl (1),")


def _daemon_options(options: Options) -> Iterable[tuple[str, str]]:
    """Names with what they take, and texts, in alphabetical order; usage.Options keeps them in three places."""
    found = {
        f"{row[0]} VALUE": f"{row[3]}" + (f" [default: {row[2]}]" if row[2] else "") for row in options.optParameters
    }
    found |= {f"{name}": f"{text}" for name, _short, text in options.optFlags}
    for name in ("tcp", "udp", "sockopt", "allow", "deny", "version"):
        method = getattr(options, f"opt_{name}")
        found[f"{name} VALUE" if name != "version" else name] = method.__doc__
    return sorted(found.items())


def main() -> None:
    """Write both pages into the directory that is named."""
    directory = Path(sys.argv[1])
    for name, page in _FILES.items():
        (directory / name).write_text(globals()[page](), encoding="utf-8")


if __name__ == "__main__":
    if os.environ.get("LC_ALL") != "C.UTF-8":
        # the pages are English, in whatever language they are made
        english = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
        os.execve(sys.executable, [sys.executable, "-m", "echotime.manual", *sys.argv[1:]], english)
    main()
