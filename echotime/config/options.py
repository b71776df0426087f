"""The daemon's command line. Every fault in it is found before anything is opened, and all are told at once."""

from __future__ import annotations

import difflib
import getopt
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from twisted.python import usage

import echotime
from echotime.config import file, parsers
from echotime.config.option_table import COMPLETIONS, FLAGS, PARAMETERS
from echotime.config.settings import DEFAULT_PORT, ListenAddress, Settings
from echotime.limits.access import Networks
from echotime.net.sockopt_port import socket_kind
from echotime.services.timeouts import Timeouts
from echotime.sockopt import assignment, listing
from echotime.sockopt.assignment import Assignment
from echotime.systemd.activation import SystemdSocket, initial_environ, listen_fds
from echotime.wire.encoding import parse_encoding
from echotime.wire.escape import sanitize, unescape

_COMMAND_LINE_ONLY = frozenset({"check", "config"})
_COMMENT = re.compile(r"\s[#;]")
_REMOVED_OPTIONS = {
    "transport": "there is one transport now; to run it on Twisted's own reactor: twistd -r epoll -n echotime"
}
"""Options of earlier versions, and what to do instead."""
_MAX_FAULTS = 100
"""How many faults are told one by one; of the others the number is told."""
_MAX_FAULT_LENGTH = 1000
"""Characters of a fault; the middle of a longer one is left out."""
_MAX_NAME_LENGTH = 100
"""Characters of an unknown name that are compared with the known names; each of those is shorter by far."""


class DaemonOptions(usage.Options):
    """`settings` holds the result. parseOptions raises UsageError, one line a fault."""

    synopsis = "[options]"
    longdesc = (
        "Serves TCP echo-with-reply and UDP time. --tcp, --udp, --sockopt, --allow, --deny may be repeated. "
        "With neither --tcp nor --udp what systemd passes in is served, or both on port 12345 of every IPv4 address. "
        "Example: twistd -n echotime --tcp 12345 --udp '[::]:12345' --sockopt tcp:SO_KEEPALIVE=on"
    )
    optFlags = FLAGS
    optParameters = PARAMETERS
    compData = COMPLETIONS

    settings: Settings
    _command_line: tuple[dict[str, Any], dict[str, list[str]]]
    """What the command line says: the values of options, and those of options that may be repeated."""

    def __init__(self) -> None:
        super().__init__()
        self._repeated: dict[str, list[str]] = {"tcp": [], "udp": [], "sockopt": [], "allow": [], "deny": []}
        self._faults: list[str] = []
        self._unlisted_faults = 0
        self._directory = Path.cwd()
        """What relative paths are relative to: twistd may change its own."""
        self._from_file: set[str] = set()

    def opt_tcp(self, text: str) -> None:
        """Echo on PORT (0: the system chooses), ADDRESS:PORT, [IPv6]:PORT, or what was passed in, systemd[:NAME]."""
        self._repeated["tcp"].append(text)

    def opt_udp(self, text: str) -> None:
        """Give the time on this address, in the forms of --tcp."""
        self._repeated["udp"].append(text)

    def opt_sockopt(self, text: str) -> None:
        """Set a socket option: [tcp:|udp:]NAME=VALUE, or LEVEL:NUMBER=VALUE for one without a name; help lists them."""
        if text.lower() == "help":
            _print_and_exit(listing.option_lines())
        self._repeated["sockopt"].append(text)

    def opt_allow(self, text: str) -> None:
        """Serve this network, and nobody who is not allowed; NET/BITS or an address. The most specific decides."""
        self._repeated["allow"].append(text)

    def opt_deny(self, text: str) -> None:
        """Do not serve this network; in the forms of --allow."""
        self._repeated["deny"].append(text)

    def opt_version(self) -> NoReturn:
        """Print the version and end."""
        _print_and_exit([f"echotime {echotime.__version__}"])

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """As usage.Options, with the nearest name for an unknown one."""
        try:
            super().parseOptions(None if options is None else list(options))
        except usage.UsageError as error:
            raise usage.UsageError(self._describe_usage_error(error)) from None

    def parseArgs(self, *rest: str) -> None:
        """No arguments are taken."""
        if rest:
            self._add_fault(f"'{rest[0]}' is no option; options begin with --, and what follows it was not read")

    def postOptions(self) -> None:
        """Check everything; keep the result as `settings`."""
        self._command_line = dict(self), {name: list(texts) for name, texts in self._repeated.items()}
        for _step in self._check_steps():
            pass
        if self["check"]:
            _print_and_exit([f"{self['config']}: no faults" if self["config"] else "no faults"])

    def _check_steps(self) -> Generator[None, None, None]:
        """Check everything; keep the result as `settings`. No step takes long, however long a list is.

        Raises UsageError.
        """
        yield from self._merge_file()
        tcp = yield from self._addresses("tcp")
        udp = yield from self._addresses("udp")
        if not self._repeated["tcp"] and not self._repeated["udp"]:
            tcp = udp = (_default_address(),)
        settings = Settings(
            tcp=tcp,
            udp=udp,
            sockopts=(yield from self._assignments(tcp, udp)),
            timeouts=Timeouts(
                *(
                    self._value(f"{name}-timeout", parsers.positive_seconds)
                    for name in ("idle", "half-closed", "session")
                )
            ),
            reply=self._value("reply", unescape),
            operator=bool(self["operator"]),
            answer_low_ports=bool(self["answer-low-ports"]),
            answer_broadcast=bool(self["answer-broadcast"]),
            require_sync=bool(self["require-sync"]),
            log_to_stdout=logs_to_stdout(self.parent or {}),
            wait_for_operator=bool(self["wait-for-operator"]),
            control=self._value("control", self._socket_path) or parsers.default_control_socket(os.environ),
            control_group=self._value("control-group", parsers.group_id),
            **self._given_values(
                backlog=parsers.positive_int,
                ack=unescape,
                epoch=parsers.epoch,
                reply_deadline=parsers.positive_seconds,
                max_connections=parsers.positive_int,
                max_per_source=parsers.positive_int,
                udp_rate=parsers.non_negative_int,
                max_questions=parsers.positive_int,
                max_questions_per_source=parsers.positive_int,
                encoding=parse_encoding,
                show_messages=parsers.non_negative_int,
                drain_seconds=parsers.non_negative_seconds,
            ),
        )
        self._check_operator(settings)
        allow = yield from self._networks("allow")
        deny = yield from self._networks("deny", allow)
        self.settings = replace(settings, allow=allow, deny=deny)
        if self._unlisted_faults:
            self._faults.append(f"faults that are not listed: {self._unlisted_faults}")
        if self._faults:
            raise usage.UsageError("\n".join(self._faults))

    def _add_fault(self, text: str) -> None:
        """Note a fault, a line of what will be raised."""
        if len(self._faults) == _MAX_FAULTS:
            self._unlisted_faults += 1
            return
        if len(text) > _MAX_FAULT_LENGTH:
            text = f"{text[: _MAX_FAULT_LENGTH // 2]} ... {text[-_MAX_FAULT_LENGTH // 2 :]}"
        self._faults.append(sanitize(text))

    def _suggest(self, name: str, known: Iterable[str]) -> str:
        """Return a hint for an unknown name; none if the fault will not be listed, as to look for one takes long."""
        return _suggestion(name, known) if len(self._faults) < _MAX_FAULTS else ""

    def _check_operator(self, settings: Settings) -> None:
        """Options that only make sense with an operator, and an operator with nowhere to sit."""
        if self["operator"] and self.parent is not None and not self.parent["nodaemon"]:
            self._add_fault("--operator: in the background there is no terminal; expected twistd -n")
        for name in ("wait-for-operator", "reply-deadline"):
            if self[name] and not settings.has_operator:
                self._add_fault(f"--{name}: nobody can answer; expected --operator or --control, too")
        if settings.control_group is not None and settings.control is None:
            self._add_fault("--control-group: there is no control socket; expected --control, too")

    def _given_values(self, **parsers: Callable[[str], Any]) -> dict[str, Any]:
        """The options that hold a value, as Settings names them; the others keep its default."""
        values = {name: self._value(name.replace("_", "-"), parse) for name, parse in parsers.items()}
        values["acknowledgement"] = values.pop("ack")
        return {name: value for name, value in values.items() if value is not None}

    def reparse(self) -> Generator[None, None, Settings]:
        """Return what the same command line, and the file as it is now, ask for; yield after short steps.

        The command line is not parsed again: getopt, which cannot be interrupted, takes quadratic time for a long one.
        Raises UsageError.
        """
        fresh = DaemonOptions()
        fresh.parent, fresh._directory = self.parent, self._directory
        values, lists = self._command_line
        fresh.update(values)
        fresh._repeated = {name: list(texts) for name, texts in lists.items()}
        yield from fresh._check_steps()
        return fresh.settings

    def _socket_path(self, text: str) -> str:
        return parsers.socket_path(str(self._directory / text) if text else text)

    def _merge_file(self) -> Generator[None, None, None]:
        """Take from the file what the command line does not say."""
        if self["config"] is None:
            return
        path = self["config"] = str(self._directory / self["config"])
        switches = {name for name, _short, _text in FLAGS} - _COMMAND_LINE_ONLY
        known: set[Any] = switches.union(self._repeated, (name for name, *_rest in PARAMETERS)) - _COMMAND_LINE_ONLY
        try:
            found = yield from file.read(path)
        except file.ConfigFileError as error:
            self._add_fault(str(error))
            return
        for name, texts in found.items():
            yield
            if name in _COMMAND_LINE_ONLY:
                self._add_fault(f"{path}: {name} is for the command line alone")
            elif name not in known:
                self._add_fault(f"{path}: unknown option {name}{self._suggest(name, known)}")
            elif name in self._repeated and not texts:
                self._add_fault(f"{path}: {name} = says nothing; expected a value, or none of this line")
            elif name in self._repeated:
                if not self._repeated[name]:
                    self._repeated[name] = texts
                    self._from_file.add(name)
            elif self[name] in {None, 0}:
                self._from_file.add(name)
                text = " ".join(texts) if name in switches else "\n".join(texts)
                self[name] = self._parse_or_fault(name, text, file.boolean) if name in switches else text

    def _format_option(self, name: str, text: str) -> str:
        """An option as it was given."""
        return f"{self['config']}: {name} = {text}" if name in self._from_file else f"--{name} {text}"

    def _value(self, name: str, parse: Callable[[str], Any]) -> Any:
        return None if self[name] is None else self._parse_or_fault(name, self[name], parse)

    def _parse_or_fault(self, name: str, text: str, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            has_comment = name in self._from_file and _COMMENT.search(text)
            hint = "; a comment stands on a line of its own" if has_comment else ""
            self._add_fault(f"{self._format_option(name, text)}: {error}{hint}")
            return None

    def _addresses(self, name: str) -> Generator[None, None, tuple[ListenAddress | SystemdSocket, ...]]:
        found: list[ListenAddress | SystemdSocket] = []
        known: set[ListenAddress | SystemdSocket] = set()
        for text in self._repeated[name]:
            yield
            address = self._parse_or_fault(name, text, parsers.listen_address)
            if address in known and (isinstance(address, SystemdSocket) or address.port):
                self._add_fault(f"{self._format_option(name, text)}: given twice")
            elif address is not None:
                found.append(address)
                known.add(address)
        return tuple(found)

    def _networks(self, name: str, allowed: Networks | None = None) -> Generator[None, None, Networks]:
        """Return the networks of a list; none of them can be `allowed`, too."""
        found = Networks()
        for text in self._repeated[name]:
            yield
            network = self._parse_or_fault(name, text, parsers.network)
            if network is None:
                continue
            found.add(network)
            if allowed is not None and network in allowed:
                option = self._format_option(name, str(network))
                self._add_fault(f"{option}: it is allowed, too; expected one of --allow and --deny")
        return found

    def _assignments(
        self, tcp: Iterable[ListenAddress | SystemdSocket], udp: Iterable[ListenAddress | SystemdSocket]
    ) -> Generator[None, None, tuple[Assignment, ...]]:
        found: list[Assignment] = []
        targets = {socket_kind("tcp", _sockopt_host(each)) for each in tcp} | {
            socket_kind("udp", _sockopt_host(each)) for each in udp
        }
        for text in self._repeated["sockopt"]:
            yield
            requested = self._parse_or_fault("sockopt", text, assignment.parse)
            if requested is None:
                continue
            found.append(requested)
            if not any(requested.fits(one) for one in targets):
                self._add_fault(f"{self._format_option('sockopt', text)}: {_no_socket_message(requested)}")
        return tuple(found)

    def _describe_usage_error(self, error: usage.UsageError) -> str:
        cause = error.__context__
        if not isinstance(cause, getopt.GetoptError):
            return str(error)
        names = [name.rstrip("=") for name in self.longOpt]
        if "not recognized" in cause.msg:
            return f"unknown option --{cause.opt}{_suggestion(cause.opt, names, '--')}"
        if "not a unique prefix" in cause.msg:
            possible = ", ".join(f"--{name}" for name in sorted(names) if name.startswith(cause.opt))
            return f"option --{cause.opt} is ambiguous; expected one of {possible}"
        return str(error)


def _suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return what to do instead of an unknown option, to follow the message that it is unknown."""
    if name in _REMOVED_OPTIONS:
        return f"; {_REMOVED_OPTIONS[name]}"
    # a longer name is near to none, and would take long to compare
    near = difflib.get_close_matches(name[:_MAX_NAME_LENGTH], list(known), n=1, cutoff=0.5)
    return f"; the nearest is {prefix}{near[0]}" if near else ""


def _default_address() -> ListenAddress | SystemdSocket:
    """What is served where nothing was said: what was passed in, if anything was."""
    if listen_fds(initial_environ()):
        return SystemdSocket(required=False)
    return ListenAddress("0.0.0.0", DEFAULT_PORT)


def _sockopt_host(address: ListenAddress | SystemdSocket) -> str:
    """For what options may act on: a socket that is passed in may be of either IP version."""
    return "::" if isinstance(address, SystemdSocket) else address.host


def _print_and_exit(lines: Iterable[str]) -> NoReturn:
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        # Python would try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # nobody reads on, as under head
            print(f"echotime: standard output: {error.strerror}", file=sys.stderr)
            raise SystemExit(1) from None
    raise SystemExit(0)


def _no_socket_message(requested: Assignment) -> str:
    """Why an option has nothing to act on."""
    option = requested.option
    transports = (
        requested.transport.upper()
        if requested.transport
        else " or ".join(option.transports).upper().replace("OR", "or")
    )
    version = {"IPPROTO_IP": "IPv4 ", "IPPROTO_IPV6": "IPv6 "}.get(option.level, "")
    return f"{option.name} acts on {version}{transports} sockets, and none is served"


def logs_to_stdout(twistd: Mapping[str, Any]) -> bool:
    """Return True unless twistd's options send the log to a file or to syslog."""
    return twistd.get("logfile") in {None, "-"} and not twistd.get("syslog")
