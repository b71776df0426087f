"""The daemon's command line. Every fault in it is found before anything is opened, and all are told at once."""

from __future__ import annotations

import difflib
import getopt
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from twisted.python import usage

import echotime
from echotime.daemon import coercions
from echotime.daemon.activation import original_environment, passed
from echotime.daemon.settings import DEFAULT_PORT, Address, Passed, Settings
from echotime.ports.target import target
from echotime.servers.access import Network
from echotime.sockopt import assignment, listing
from echotime.sockopt.assignment import Assignment
from echotime.wire.encoding import encoding
from echotime.wire.printable import harmless, unescape


class Options(usage.Options):
    """`settings` holds the result. parseOptions raises UsageError, one line a fault."""

    synopsis = "[options]"
    longdesc = (
        "Serves TCP echo-with-reply and UDP time. --tcp, --udp, --sockopt, --allow, --deny may be repeated. "
        "With neither --tcp nor --udp what systemd passes in is served, or both on port 12345 of every IPv4 address. "
        "Example: twistd -n echotime --tcp 12345 --udp '[::]:12345' --sockopt tcp:SO_KEEPALIVE=on"
    )
    optFlags = [
        ["operator", None, "Ask for the words on this terminal, or take them from standard input, one a line."],
        [
            "answer-low-ports",
            None,
            "Answer datagrams from ports below 1024, too, where other services might answer back.",
        ],
        ["answer-broadcast", None, "Answer datagrams that were sent to a broadcast or multicast address."],
        ["wait-for-operator", None, "Let questions wait though no operator is there."],
    ]
    optParameters = [
        ["backlog", None, "1024", "How many connections may wait to be accepted."],
        [
            "ack",
            None,
            None,
            r"The acknowledgement after each echo; \n \t \xNN are understood. [default: \nI get it!\n]",
        ],
        [
            "reply",
            None,
            None,
            r"A fixed word after each acknowledgement; \n \t \xNN are understood. [default: none]",
        ],
        [
            "reply-deadline",
            None,
            None,
            "How many seconds a word is awaited from an operator; then --reply, or none. [default: for ever]",
        ],
        [
            "control",
            None,
            None,
            "A Unix socket for `echotime control`, mode 0600. [default: control in systemd's $RUNTIME_DIRECTORY]",
        ],
        ["control-group", None, None, "A group whose members may use it, too: mode 0660."],
        ["max-questions", None, "1000", "How many messages may wait for an operator's word."],
        ["max-questions-per-source", None, "10", "How many of them from one address."],
        ["encoding", None, "utf-8", "How an operator's words are encoded, and messages decoded to be shown."],
        ["epoch", None, "unix", "Where UDP counts seconds from: unix, or 1900 as RFC 868 does."],
        [
            "transport",
            None,
            "fast",
            "How connections and datagrams are served: fast, or stock as Twisted does, for comparison.",
        ],
        ["show-messages", None, "100", "The most messages a second that are shown in the log; 0 shows none."],
        ["drain-seconds", None, "5", "How long a stop waits for connections to receive what they are owed."],
    ]

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[str, list[str]] = {"tcp": [], "udp": [], "sockopt": [], "allow": [], "deny": []}
        self._faults: list[str] = []

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
            super().parseOptions(options)
        except usage.UsageError as error:
            raise usage.UsageError(self._with_nearest(error)) from None

    def parseArgs(self, *rest: str) -> None:
        """No arguments are taken."""
        if rest:
            self._faults.append(f"'{rest[0]}' is no option; options begin with --, and what follows it was not read")

    def postOptions(self) -> None:
        """Check everything; keep the result as `settings`."""
        tcp = self._addresses("tcp")
        udp = self._addresses("udp")
        if not self._given["tcp"] and not self._given["udp"]:
            tcp = udp = (_by_default(),)
        self.settings = Settings(
            tcp=tcp,
            udp=udp,
            asked=self._assignments(tcp, udp),
            reply=self._one("reply", unescape),
            operator=bool(self["operator"]),
            allow=self._networks("allow"),
            deny=self._networks("deny"),
            answer_low_ports=bool(self["answer-low-ports"]),
            answer_broadcast=bool(self["answer-broadcast"]),
            log_here=self._log_here(),
            wait_for_operator=bool(self["wait-for-operator"]),
            control=self._one("control", coercions.socket_path) or coercions.runtime_socket(os.environ),
            control_group=self._one("control-group", coercions.group),
            **self._where_given(
                backlog=coercions.positive,
                ack=unescape,
                epoch=coercions.epoch,
                transport=coercions.transport,
                reply_deadline=coercions.deadline,
                max_questions=coercions.positive,
                max_questions_per_source=coercions.positive,
                encoding=encoding,
                show_messages=coercions.count,
                drain_seconds=coercions.seconds,
            ),
        )
        self._check_operator(self.settings)
        self._check_networks(self.settings)
        if self._faults:
            raise usage.UsageError("\n".join(map(harmless, self._faults)))

    def _log_here(self) -> bool:
        """Whether twistd's log goes to standard output."""
        twistd: Any = self.parent or {}
        return twistd.get("logfile") in {None, "-"} and not twistd.get("syslog")

    def _check_operator(self, settings: Settings) -> None:
        """Options that only make sense with an operator, and an operator with nowhere to sit."""
        if self["operator"] and self.parent is not None and not self.parent["nodaemon"]:
            self._faults.append("--operator: in the background there is no terminal; expected twistd -n")
        for name in ("wait-for-operator", "reply-deadline"):
            if self[name] and not settings.asks:
                self._faults.append(f"--{name}: nobody can answer; expected --operator or --control, too")
        if settings.control_group is not None and settings.control is None:
            self._faults.append("--control-group: there is no control socket; expected --control, too")

    def _where_given(self, **coerce: Callable[[str], Any]) -> dict[str, Any]:
        """The options that hold a value, as Settings names them; the others keep its default."""
        values = {name: self._one(name.replace("_", "-"), each) for name, each in coerce.items()}
        values["acknowledgement"] = values.pop("ack")
        return {name: value for name, value in values.items() if value is not None}

    def _one(self, name: str, coerce: Callable[[str], Any]) -> Any:
        return None if self[name] is None else self._coerced(name, self[name], coerce)

    def _coerced(self, name: str, text: str, coerce: Callable[[str], Any]) -> Any:
        try:
            return coerce(text)
        except ValueError as error:
            self._faults.append(f"--{name} {text}: {error}")
            return None

    def _addresses(self, name: str) -> tuple[Address | Passed, ...]:
        found: list[Address | Passed] = []
        for text in self._given[name]:
            address = self._coerced(name, text, coercions.where)
            if address in found and (isinstance(address, Passed) or address.port):
                self._faults.append(f"--{name} {text}: given twice")
            elif address is not None:
                found.append(address)
        return tuple(found)

    def _networks(self, name: str) -> tuple[Network, ...]:
        found = (self._coerced(name, text, coercions.network) for text in self._given[name])
        return tuple(each for each in found if each is not None)

    def _check_networks(self, settings: Settings) -> None:
        """None can be both allowed and denied."""
        for each in settings.allow:
            if each in settings.deny:
                self._faults.append(f"--deny {each}: it is allowed, too; expected one of --allow and --deny")

    def _assignments(self, tcp: Iterable[Address | Passed], udp: Iterable[Address | Passed]) -> tuple[Assignment, ...]:
        found = [self._coerced("sockopt", text, assignment.parse) for text in self._given["sockopt"]]
        targets = [target("tcp", _host(each)) for each in tcp] + [target("udp", _host(each)) for each in udp]
        for text, each in zip(self._given["sockopt"], found, strict=True):
            if each is not None and not any(each.fits(one) for one in targets):
                self._faults.append(f"--sockopt {text}: {_unserved(each)}")
        return tuple(each for each in found if each is not None)

    def _with_nearest(self, error: usage.UsageError) -> str:
        cause = error.__context__
        if not isinstance(cause, getopt.GetoptError) or "not recognized" not in cause.msg:
            return str(error)
        names = [name.rstrip("=") for name in self.longOpt]
        near = difflib.get_close_matches(cause.opt, names, n=1, cutoff=0.5)
        return f"unknown option --{cause.opt}" + (f"; the nearest is --{near[0]}" if near else "")


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
