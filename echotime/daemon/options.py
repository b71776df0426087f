"""The daemon's command line. Every fault in it is found before anything is opened, and all are told at once."""

from __future__ import annotations

import difflib
import getopt
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from twisted.python import usage

import echotime
from echotime.daemon import coercions, config_file
from echotime.daemon.activation import original_environment, passed
from echotime.daemon.log_stream import is_logged_here
from echotime.daemon.option_table import COMPLETIONS, FLAGS, PARAMETERS
from echotime.daemon.settings import DEFAULT_PORT, Address, Passed, Settings
from echotime.ports.target import target
from echotime.servers.access import Networks
from echotime.servers.timeouts import Timeouts
from echotime.sockopt import assignment, listing
from echotime.sockopt.assignment import Assignment
from echotime.wire.encoding import encoding
from echotime.wire.printable import harmless, unescape

_NOT_IN_FILE = frozenset({"check", "config"})
_COMMENT = re.compile(r"\s[#;]")
_REMOVED = {"transport": "there is one transport now; to run it on Twisted's own reactor: twistd -r epoll -n echotime"}
"""Options of earlier versions, and what to do instead."""
_MOST_FAULTS = 100
"""How many faults are told one by one; of the others the number is told."""
_LONGEST_FAULT = 1000
"""Characters of a fault; the middle of a longer one is left out."""
_LONGEST_NAME = 100
"""Characters of an unknown name that are compared with the known names; each of those is shorter by far."""


class Options(usage.Options):
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
    _typed: tuple[dict[str, Any], dict[str, list[str]]]
    """What the command line says: the values of options, and those of options that may be repeated."""

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[str, list[str]] = {"tcp": [], "udp": [], "sockopt": [], "allow": [], "deny": []}
        self._faults: list[str] = []
        self._more_faults = 0
        self._directory = Path.cwd()
        """What relative paths are relative to: twistd may change its own."""
        self._from_file: set[str] = set()

    def opt_tcp(self, text: str) -> None:
        """Echo on PORT (0: the system chooses), ADDRESS:PORT, [IPv6]:PORT, or what was passed in, systemd[:NAME]."""
        self._given["tcp"].append(text)

    def opt_udp(self, text: str) -> None:
        """Give the time on this address, in the forms of --tcp."""
        self._given["udp"].append(text)

    def opt_sockopt(self, text: str) -> None:
        """Set a socket option: [tcp:|udp:]NAME=VALUE, or LEVEL:NUMBER=VALUE for one without a name; help lists them."""
        if text.lower() == "help":
            _print_and_end(listing.lines())
        self._given["sockopt"].append(text)

    def opt_allow(self, text: str) -> None:
        """Serve this network, and nobody who is not allowed; NET/BITS or an address. The most specific decides."""
        self._given["allow"].append(text)

    def opt_deny(self, text: str) -> None:
        """Do not serve this network; in the forms of --allow."""
        self._given["deny"].append(text)

    def opt_version(self) -> NoReturn:
        """Print the version and end."""
        _print_and_end([f"echotime {echotime.__version__}"])

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """As usage.Options, with the nearest name for an unknown one."""
        try:
            super().parseOptions(None if options is None else list(options))
        except usage.UsageError as error:
            raise usage.UsageError(self._with_nearest(error)) from None

    def parseArgs(self, *rest: str) -> None:
        """No arguments are taken."""
        if rest:
            self._fault(f"'{rest[0]}' is no option; options begin with --, and what follows it was not read")

    def postOptions(self) -> None:
        """Check everything; keep the result as `settings`."""
        self._typed = dict(self), {name: list(texts) for name, texts in self._given.items()}
        for _step in self._checked():
            pass
        if self["check"]:
            _print_and_end([f"{self['config']}: no faults" if self["config"] else "no faults"])

    def _checked(self) -> Generator[None, None, None]:
        """Check everything; keep the result as `settings`. No step takes long, however long a list is.

        Raises UsageError.
        """
        yield from self._take_file()
        tcp = yield from self._addresses("tcp")
        udp = yield from self._addresses("udp")
        if not self._given["tcp"] and not self._given["udp"]:
            tcp = udp = (_by_default(),)
        settings = Settings(
            tcp=tcp,
            udp=udp,
            asked=(yield from self._assignments(tcp, udp)),
            timeouts=Timeouts(
                *(self._one(f"{name}-timeout", coercions.deadline) for name in ("idle", "half-closed", "session"))
            ),
            reply=self._one("reply", unescape),
            operator=bool(self["operator"]),
            answer_low_ports=bool(self["answer-low-ports"]),
            answer_broadcast=bool(self["answer-broadcast"]),
            require_sync=bool(self["require-sync"]),
            log_here=is_logged_here(self.parent or {}),
            wait_for_operator=bool(self["wait-for-operator"]),
            control=self._one("control", self._socket_path) or coercions.runtime_socket(os.environ),
            control_group=self._one("control-group", coercions.group),
            **self._where_given(
                backlog=coercions.positive,
                ack=unescape,
                epoch=coercions.epoch,
                reply_deadline=coercions.deadline,
                max_connections=coercions.positive,
                max_per_source=coercions.positive,
                udp_rate=coercions.count,
                max_questions=coercions.positive,
                max_questions_per_source=coercions.positive,
                encoding=encoding,
                show_messages=coercions.count,
                drain_seconds=coercions.seconds,
            ),
        )
        self._check_operator(settings)
        allow = yield from self._networks("allow")
        deny = yield from self._networks("deny", allow)
        self.settings = replace(settings, allow=allow, deny=deny)
        if self._more_faults:
            self._faults.append(f"faults that are not listed: {self._more_faults}")
        if self._faults:
            raise usage.UsageError("\n".join(self._faults))

    def _fault(self, text: str) -> None:
        """Note a fault, a line of what will be raised."""
        if len(self._faults) == _MOST_FAULTS:
            self._more_faults += 1
            return
        if len(text) > _LONGEST_FAULT:
            text = f"{text[: _LONGEST_FAULT // 2]} ... {text[-_LONGEST_FAULT // 2 :]}"
        self._faults.append(harmless(text))

    def _nearest(self, name: str, known: Iterable[str]) -> str:
        """Return a hint for an unknown name; none if the fault will not be listed, as to look for one takes long."""
        return _nearest(name, known) if len(self._faults) < _MOST_FAULTS else ""

    def _check_operator(self, settings: Settings) -> None:
        """Options that only make sense with an operator, and an operator with nowhere to sit."""
        if self["operator"] and self.parent is not None and not self.parent["nodaemon"]:
            self._fault("--operator: in the background there is no terminal; expected twistd -n")
        for name in ("wait-for-operator", "reply-deadline"):
            if self[name] and not settings.asks:
                self._fault(f"--{name}: nobody can answer; expected --operator or --control, too")
        if settings.control_group is not None and settings.control is None:
            self._fault("--control-group: there is no control socket; expected --control, too")

    def _where_given(self, **coerce: Callable[[str], Any]) -> dict[str, Any]:
        """The options that hold a value, as Settings names them; the others keep its default."""
        values = {name: self._one(name.replace("_", "-"), each) for name, each in coerce.items()}
        values["acknowledgement"] = values.pop("ack")
        return {name: value for name, value in values.items() if value is not None}

    def read_again(self) -> Generator[None, None, Settings]:
        """Return what the same command line, and the file as it is now, ask for; yield after short steps.

        The command line is not parsed again: getopt, which cannot be interrupted, takes quadratic time for a long one.
        Raises UsageError.
        """
        fresh = Options()
        fresh.parent, fresh._directory = self.parent, self._directory
        values, lists = self._typed
        fresh.update(values)
        fresh._given = {name: list(texts) for name, texts in lists.items()}
        yield from fresh._checked()
        return fresh.settings

    def _socket_path(self, text: str) -> str:
        return coercions.socket_path(str(self._directory / text) if text else text)

    def _take_file(self) -> Generator[None, None, None]:
        """Take from the file what the command line does not say."""
        if self["config"] is None:
            return
        path = self["config"] = str(self._directory / self["config"])
        switches = {name for name, _short, _text in FLAGS} - _NOT_IN_FILE
        known: set[Any] = switches.union(self._given, (name for name, *_rest in PARAMETERS)) - _NOT_IN_FILE
        try:
            found = yield from config_file.read(path)
        except config_file.BadConfig as error:
            self._fault(str(error))
            return
        for name, texts in found.items():
            yield
            if name in _NOT_IN_FILE:
                self._fault(f"{path}: {name} is for the command line alone")
            elif name not in known:
                self._fault(f"{path}: unknown option {name}{self._nearest(name, known)}")
            elif name in self._given and not texts:
                self._fault(f"{path}: {name} = says nothing; expected a value, or none of this line")
            elif name in self._given:
                if not self._given[name]:
                    self._given[name] = texts
                    self._from_file.add(name)
            elif self[name] in {None, 0}:
                self._from_file.add(name)
                text = " ".join(texts) if name in switches else "\n".join(texts)
                self[name] = self._coerced(name, text, config_file.switch) if name in switches else text

    def _spelled(self, name: str, text: str) -> str:
        """An option as it was given."""
        return f"{self['config']}: {name} = {text}" if name in self._from_file else f"--{name} {text}"

    def _one(self, name: str, coerce: Callable[[str], Any]) -> Any:
        return None if self[name] is None else self._coerced(name, self[name], coerce)

    def _coerced(self, name: str, text: str, coerce: Callable[[str], Any]) -> Any:
        try:
            return coerce(text)
        except ValueError as error:
            commented = name in self._from_file and _COMMENT.search(text)
            hint = "; a comment stands on a line of its own" if commented else ""
            self._fault(f"{self._spelled(name, text)}: {error}{hint}")
            return None

    def _addresses(self, name: str) -> Generator[None, None, tuple[Address | Passed, ...]]:
        found: list[Address | Passed] = []
        known: set[Address | Passed] = set()
        for text in self._given[name]:
            yield
            address = self._coerced(name, text, coercions.where)
            if address in known and (isinstance(address, Passed) or address.port):
                self._fault(f"{self._spelled(name, text)}: given twice")
            elif address is not None:
                found.append(address)
                known.add(address)
        return tuple(found)

    def _networks(self, name: str, allowed: Networks | None = None) -> Generator[None, None, Networks]:
        """Return the networks of a list; none of them can be `allowed`, too."""
        found = Networks()
        for text in self._given[name]:
            yield
            network = self._coerced(name, text, coercions.network)
            if network is None:
                continue
            found.add(network)
            if allowed is not None and network in allowed:
                spelled = self._spelled(name, str(network))
                self._fault(f"{spelled}: it is allowed, too; expected one of --allow and --deny")
        return found

    def _assignments(
        self, tcp: Iterable[Address | Passed], udp: Iterable[Address | Passed]
    ) -> Generator[None, None, tuple[Assignment, ...]]:
        found: list[Assignment] = []
        targets = {target("tcp", _host(each)) for each in tcp} | {target("udp", _host(each)) for each in udp}
        for text in self._given["sockopt"]:
            yield
            asked = self._coerced("sockopt", text, assignment.parse)
            if asked is None:
                continue
            found.append(asked)
            if not any(asked.fits(one) for one in targets):
                self._fault(f"{self._spelled('sockopt', text)}: {_unserved(asked)}")
        return tuple(found)

    def _with_nearest(self, error: usage.UsageError) -> str:
        cause = error.__context__
        if not isinstance(cause, getopt.GetoptError):
            return str(error)
        names = [name.rstrip("=") for name in self.longOpt]
        if "not recognized" in cause.msg:
            return f"unknown option --{cause.opt}{_nearest(cause.opt, names, '--')}"
        if "not a unique prefix" in cause.msg:
            possible = ", ".join(f"--{name}" for name in sorted(names) if name.startswith(cause.opt))
            return f"option --{cause.opt} is ambiguous; expected one of {possible}"
        return str(error)


def _nearest(name: str, known: Iterable[str], before: str = "") -> str:
    """Return what to do instead of an unknown option, to follow the message that it is unknown."""
    if name in _REMOVED:
        return f"; {_REMOVED[name]}"
    # a longer name is near to none, and would take long to compare
    near = difflib.get_close_matches(name[:_LONGEST_NAME], list(known), n=1, cutoff=0.5)
    return f"; the nearest is {before}{near[0]}" if near else ""


def _by_default() -> Address | Passed:
    """What is served where nothing was said: what was passed in, if anything was."""
    if passed(original_environment()):
        return Passed(required=False)
    return Address("0.0.0.0", DEFAULT_PORT)


def _host(where: Address | Passed) -> str:
    """For what options may act on: a socket that is passed in may be of either IP version."""
    return "::" if isinstance(where, Passed) else where.host


def _print_and_end(lines: Iterable[str]) -> NoReturn:
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        # Python would try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # nobody reads on, as under head
            print(f"echotime: standard output: {error.strerror}", file=sys.stderr)
            raise SystemExit(1) from None
    raise SystemExit(0)


def _unserved(asked: Assignment) -> str:
    """Why an option has nothing to act on."""
    option = asked.option
    where = asked.transport.upper() if asked.transport else " or ".join(option.transports).upper().replace("OR", "or")
    version = {"IPPROTO_IP": "IPv4 ", "IPPROTO_IPV6": "IPv6 "}.get(option.level, "")
    return f"{option.name} acts on {version}{where} sockets, and none is served"
