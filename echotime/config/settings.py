"""Every option of the daemon, declared as a field of Settings, where its checked and typed value is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from echotime.behave.kinds import TCP_KINDS, UDP_KINDS
from echotime.behave.spec import BehavingAddress
from echotime.config.option_spec import OptionSpec, declared_options, group_options, option
from echotime.config.parsers import (
    LOG_KINDS,
    behavior,
    group_id,
    http_address,
    listen_address,
    log_kind,
    network,
    output_file,
    record_path,
    socket_path,
)
from echotime.limits.access import Networks
from echotime.services.answer_text import answer_text
from echotime.services.timeouts import Timeouts
from echotime.sockopt import assignment
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.systemd.activation import SystemdSocket
from echotime.wire import parsers
from echotime.wire.hostport import DEFAULT_PORT, HostPort
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.template import NAMES, Text
from echotime.wire.timestamp import Epoch

DEFAULT_UDP_RATE = 1000
"""Responses per second to one source. Monitoring stays far below it."""
FIRST_UNPRIVILEGED_PORT = 1024
"""Ports below (RFC 6335 system ports) often belong to services that would reply and start a loop."""
_VALUE_NAMES = ", ".join(NAMES)


def _networks(
    help_text: str,
    *,
    example: str,
    accepts: str = "as `--allow`",
    shown_default: str = "none",
    section: str = "",
    transport: str = "",
) -> dict[str, OptionSpec]:
    """Return the metadata of a field for a set of networks, an option that may be repeated and reloaded."""
    spec = OptionSpec(
        network,
        help_text,
        metavar="NET",
        accepts=accepts,
        shown_default=shown_default,
        example=example,
        section=section,
        repeatable=True,
        reloadable=True,
        transport=transport,
    )
    return {"option": spec}


@dataclass(frozen=True)
class Settings:
    """Hold the values of all options. The fields are in the order of --help and of the documentation."""

    tcp: tuple[HostPort | SystemdSocket, ...] = option(
        (),
        listen_address,
        "Echo over TCP on ADDRESS:PORT, on [IPv6]:PORT, or on PORT of every IPv4 address; port 0 for a free port. "
        "systemd or systemd:NAME uses inherited sockets.",
        metavar="ADDRESS",
        shown_default=f"inherited sockets, or port {DEFAULT_PORT}, if neither --tcp nor --udp is given",
        example="127.0.0.1:12345",
        section="Addresses and socket options",
        repeatable=True,
    )
    udp: tuple[HostPort | SystemdSocket, ...] = option(
        (),
        listen_address,
        "Serve the time over UDP on an address, in the forms of --tcp.",
        metavar="ADDRESS",
        shown_default="as --tcp",
        example="'[::]:12345'",
        repeatable=True,
    )
    backlog: int = option(
        1024,
        parsers.positive_int,
        "Maximum length of the accept queue of each TCP listener, up to net.core.somaxconn.",
        example="4096",
        reloadable=True,
        transport="tcp",
    )
    sockopts: tuple[Assignment, ...] = option(
        (),
        assignment.parse,
        "Set a socket option, with tcp: or udp: before NAME for one transport only. LEVEL:NUMBER=VALUE sets an "
        "option that has no name here. --sockopt help lists the names and exits.",
        name="sockopt",
        metavar="NAME=VALUE",
        shown_default="none",
        example="udp:SO_RCVBUF=1M",
        choices=tuple(f"{each.name}=" for each in CATALOGUE if each.settable),
        repeatable=True,
        reloadable=True,
    )
    acknowledgement: Text = option(  # noqa: RUF009 - a Template is immutable
        ACKNOWLEDGEMENT,
        answer_text,
        r"Send TEXT after each echo, as the acknowledgement. Escapes are \n \r \t \\ \xNN. Empty for none. "
        rf"\{{NAME}} stands for a value, with the names {_VALUE_NAMES}.",
        name="ack",
        example="''",
        section="Replies",
        reloadable=True,
        transport="tcp",
    )
    reply: Text = option(  # noqa: RUF009 - as above
        b"",
        answer_text,
        "Send TEXT after each acknowledgement, as a constant reply, with the escapes of --ack. With an operator, "
        "send it only for messages that the operator does not answer.",
        shown_default="none",
        example=r"'you are \{peer}, served by \{host}\n'",
        reloadable=True,
        transport="tcp",
    )
    operator: bool = option(
        False,
        None,
        "Let a person at this terminal type the replies, or read them from standard input, one per line. "
        "Requires twistd -n.",
        section="Operators",
    )
    control: str | None = option(
        None,
        socket_path,
        "Create the Unix socket PATH for echotime control, with mode 0600.",
        metavar="PATH",
        accepts="1 to 107 bytes; the directory must exist",
        shown_default="control in $RUNTIME_DIRECTORY under systemd, else none",
        example="/run/echotime/control",
        is_path=True,
    )
    control_group: int | None = option(
        None,
        group_id,
        "Let the members of GROUP use the control socket, too, with mode 0660.",
        metavar="GROUP",
        accepts="name or number",
        shown_default="none",
        example="adm",
    )
    reply_deadline: float | None = option(
        None,
        parsers.positive_seconds,
        "Wait at most TIME for an operator's reply, then send --reply, or no reply.",
        shown_default="no limit",
        example="2m",
        reloadable=True,
        transport="tcp",
    )
    wait_for_operator: bool = option(
        False,
        None,
        "Keep questions pending while no operator is present, instead of sending --reply, or no reply, at once.",
        reloadable=True,
        transport="tcp",
    )
    max_questions: int = option(
        1000,
        parsers.positive_int,
        "Maximum number of pending questions. Beyond it, --reply or no reply is sent at once.",
        example="50",
        reloadable=True,
        transport="tcp",
    )
    max_questions_per_source: int = option(
        10,
        parsers.positive_int,
        "Maximum number of pending questions from one address (or IPv6 /64).",
        example="2",
        reloadable=True,
        transport="tcp",
    )
    encoding: str = option(
        "utf-8",
        parsers.encoding,
        "Use this encoding for operators' replies and for messages shown to operators.",
        metavar="NAME",
        accepts="a text encoding of Python",
        example="gb18030",
    )
    epoch: Epoch = option(  # noqa: RUF009 - an enum member is immutable
        Epoch.UNIX,
        parsers.epoch,
        "Count the seconds sent over UDP from EPOCH: unix (1970), or 1900 as in RFC 868.",
        metavar="EPOCH",
        accepts="`unix` or `1900`",
        shown_default="unix",
        example="1900",
        section="UDP time",
        choices=tuple(parsers.EPOCHS),
        transport="udp",
    )
    udp_rate: int | None = option(
        None,
        parsers.non_negative_int,
        "Maximum number of UDP answers per second to one address (or IPv6 /64). Above it, one datagram in four "
        "is answered. 0 for no limit.",
        shown_default=f"{DEFAULT_UDP_RATE}; no limit on loopback",
        example="100",
        reloadable=True,
        transport="udp",
    )
    """None for DEFAULT_UDP_RATE, except on loopback, and no limit there. 0 for no limit."""
    require_sync: bool = option(
        False, None, "Answer over UDP only while the kernel reports the clock as synchronized.", transport="udp"
    )
    allow_privileged_ports: bool = option(
        False,
        None,
        f"Answer datagrams from ports below {FIRST_UNPRIVILEGED_PORT}, too. Another service there might reply "
        "and start a loop.",
        old_names=("answer-low-ports",),
        reloadable=True,
        transport="udp",
    )
    answer_broadcast: bool = option(
        False,
        None,
        "Answer datagrams sent to a broadcast or multicast address, too.",
        reloadable=True,
        transport="udp",
    )
    allow: Networks = field(
        default_factory=Networks,
        metadata=_networks(
            "Serve clients from NET, and refuse clients outside the allowed networks. "
            "The most specific network of --allow and --deny decides.",
            accepts="`192.0.2.0/24`, `2001:db8::/32` or an address",
            shown_default="all networks",
            example="192.0.2.0/24",
            section="Access and limits",
        ),
    )
    deny: Networks = field(
        default_factory=Networks,
        metadata=_networks(
            "Refuse clients from NET.",
            example="192.0.2.7",
        ),
    )
    proxy_protocol: Networks = field(
        default_factory=Networks,
        metadata=_networks(
            "Require a PROXY protocol header (version 1 or 2) on TCP connections from NET, and serve the client "
            "that it names. NET must hold load balancers only, because they can name any client.",
            example="10.0.0.5",
            transport="tcp",
        ),
    )
    quiet: Networks = field(
        default_factory=Networks,
        metadata=_networks(
            "Serve health checkers from NET without log lines and questions: --reply is sent at once. During "
            "--stop-delay, refuse them.",
            example="10.0.0.5",
        ),
    )
    max_connections: int | None = option(
        None,
        parsers.positive_int,
        "Maximum number of open connections.",
        shown_default="the limit of descriptors less a reserve",
        example="1000",
        reloadable=True,
        transport="tcp",
    )
    max_per_source: int | None = option(
        None,
        parsers.positive_int,
        "Maximum number of open connections from one address (or IPv6 /64).",
        shown_default="a quarter of --max-connections",
        example="100",
        reloadable=True,
        transport="tcp",
    )
    idle_timeout: float | None = option(
        None,
        parsers.positive_seconds,
        "End a connection that is idle for TIME.",
        shown_default="no limit",
        example="10m",
        reloadable=True,
        transport="tcp",
    )
    half_closed_timeout: float | None = option(
        None,
        parsers.positive_seconds,
        "End a connection TIME after the client's FIN.",
        shown_default="no limit",
        example="1m",
        reloadable=True,
        transport="tcp",
    )
    session_timeout: float | None = option(
        None,
        parsers.positive_seconds,
        "End a connection after TIME, idle or not.",
        shown_default="no limit",
        example="1h",
        reloadable=True,
        transport="tcp",
    )
    log_message_rate: int = option(
        100,
        parsers.non_negative_int,
        "Maximum number of messages in the log per second. 0 for none.",
        example="0",
        section="Log",
        old_names=("show-messages",),
        reloadable=True,
    )
    log_also: tuple[str, ...] = option(
        (),
        log_kind,
        "Log KIND, too: datagrams (at most --log-message-rate per second), or empty, the connections that end without "
        "a message.",
        metavar="KIND",
        accepts="`datagrams` or `empty`",
        shown_default="none",
        example="datagrams",
        choices=tuple(LOG_KINDS),
        repeatable=True,
        reloadable=True,
    )
    record: str | None = option(
        None,
        record_path,
        "Append a line of JSON to PATH for each TCP connection when it ends, and for refusals. SIGHUP opens it again.",
        metavar="PATH",
        accepts="a file, a FIFO, `/dev/stdout` or `/dev/stderr`",
        shown_default="none",
        example="/var/log/echotime/record.jsonl",
        is_path=True,
    )
    http: tuple[HostPort | SystemdSocket | str, ...] = option(
        (),
        http_address,
        "Serve metrics, health and a page for operators over HTTP on ADDRESS:PORT, on PORT of 127.0.0.1, on the Unix "
        "socket PATH with mode 0600, or on the inherited socket systemd:NAME. Over TCP it requires --control for the "
        "token, or --http-public-metrics.",
        metavar="ADDRESS",
        accepts="a loopback address, a path with a slash, or systemd:NAME",
        shown_default="none",
        example="9180",
        section="HTTP",
        repeatable=True,
    )
    http_allow_remote: bool = option(
        False,
        None,
        "Accept addresses for --http that other hosts can reach. HTTP has no encryption: use a trusted network.",
    )
    http_public_metrics: bool = option(
        False,
        None,
        "Serve /metrics, /livez and /readyz over TCP without the token of echotime control token.",
    )
    behave: tuple[BehavingAddress, ...] = option(
        (),
        behavior,
        "Open a listener that misbehaves, on ADDRESS:PORT or on PORT of 127.0.0.1. KIND is one of "
        f"{', '.join(dict.fromkeys((*TCP_KINDS, *UDP_KINDS)))}; docs/behave.md describes them. client lets each client "
        "choose the behavior.",
        metavar="ADDRESS=KIND",
        accepts="`KIND[:PARAMETER=VALUE,...]`, as in [behave.md](behave.md)",
        shown_default="none",
        example="7001=latency:delay=0.2",
        section="Misbehavior for tests",
        repeatable=True,
    )
    drain_timeout: float = option(
        5.0,
        parsers.non_negative_seconds,
        "Wait at most TIME for connections to finish when the daemon stops. 0 for no wait.",
        example="30",
        section="Process and files",
        old_names=("drain-seconds",),
        reloadable=True,
        transport="tcp",
    )
    stop_delay: float = option(
        0.0,
        parsers.non_negative_seconds,
        "Keep the ports open for TIME after SIGTERM or SIGINT, so that load balancers notice first that the daemon is "
        "not ready. Another signal ends the delay.",
        example="10",
        reloadable=True,
    )
    port_file: str | None = option(
        None,
        output_file,
        "Write the process ID and all addresses as JSON to the file PATH once the daemon listens, and remove it when "
        "the ports are closed. For ports that the system chooses.",
        metavar="PATH",
        accepts="the directory must exist; an existing file is replaced",
        shown_default="none",
        example="/run/echotime/ports.json",
        is_path=True,
    )
    log_to_stdout: bool = True
    """True if twistd's log goes to standard output."""
    warnings: tuple[str, ...] = ()
    """Lines for the log about options that are no faults, and have no effect."""

    @property
    def has_operator(self) -> bool:
        """Return True if there can be an operator."""
        return self.operator or self.control is not None or bool(self.http)

    @property
    def timeouts(self) -> Timeouts:
        """Return the timeouts of connections."""
        return Timeouts(self.idle_timeout, self.half_closed_timeout, self.session_timeout)

    @property
    def min_source_port(self) -> int:
        """Return the lowest source port from which a datagram is answered."""
        return 1 if self.allow_privileged_ports else FIRST_UNPRIVILEGED_PORT


SETTING_OPTIONS = declared_options(Settings)
CONFIG_OPTION = OptionSpec(
    str,
    "Read options from FILE: NAME = VALUE below [echotime]. The command line takes precedence. "
    "SIGHUP reads the file again.",
    name="config",
    metavar="FILE",
    accepts="not in the file",
    shown_default="none",
    example="echotime.conf",
    is_path=True,
)
CHECK_OPTION = OptionSpec(
    None,
    "Check the options and the file of --config, and exit with status 0, or 2 for a fault.",
    name="check",
    accepts="not in the file",
)
OPTIONS = (*SETTING_OPTIONS, CONFIG_OPTION, CHECK_OPTION)
VERSION_OPTION = OptionSpec(None, "Print the version and exit.", name="version", letter="V", accepts="not in the file")
HELP_OPTION = OptionSpec(None, "Print this help and exit.", name="help", letter="h", accepts="not in the file")
GROUPS = group_options((*OPTIONS, VERSION_OPTION, HELP_OPTION))
"""All options by the title of their group, for the help, the man page, the documentation and the completion."""
