"""The options of the daemon that hold a switch or one value, as twisted.python.usage wants them.

Defaults are told here and kept in Settings: so an option that was not given is known as that, and a file may give it.
"""

from __future__ import annotations

from twisted.python import usage

from echotime.sockopt.catalogue.index import CATALOGUE

FLAGS = [
    ["operator", None, "Ask for the words on this terminal, or take them from standard input, one a line."],
    [
        "answer-low-ports",
        None,
        "Answer datagrams from ports below 1024, too, where other services might answer back.",
    ],
    ["answer-broadcast", None, "Answer datagrams that were sent to a broadcast or multicast address."],
    ["require-sync", None, "Answer over UDP only while the kernel says that the clock is synchronized."],
    ["wait-for-operator", None, "Let questions wait though no operator is there."],
    ["check", None, "Check these options, and those of --config, and end: with status 0, or 2 for a fault."],
]
PARAMETERS = [
    [
        "config",
        None,
        None,
        "A file with options, NAME = VALUE below [echotime]. The command line goes before. SIGHUP: read again.",
    ],
    ["backlog", None, None, "How many connections may wait to be accepted. [default: 1024]"],
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
    ["max-questions", None, None, "How many messages may wait for an operator's word. [default: 1000]"],
    ["max-questions-per-source", None, None, "How many of them from one address. [default: 10]"],
    [
        "encoding",
        None,
        None,
        "How an operator's words are encoded, and messages decoded to be shown. [default: utf-8]",
    ],
    [
        "max-connections",
        None,
        None,
        "How many connections there may be. [default: what the limit of descriptors allows, less a reserve]",
    ],
    [
        "max-per-source",
        None,
        None,
        "How many of them from one address, or one IPv6 network of 64 bits. [default: a quarter]",
    ],
    ["idle-timeout", None, None, "How many seconds a connection may be idle. [default: for ever]"],
    [
        "half-closed-timeout",
        None,
        None,
        "How many seconds it may stay after the client ended its side. [default: for ever]",
    ],
    ["session-timeout", None, None, "How many seconds it may last in all. [default: for ever]"],
    [
        "udp-rate",
        None,
        None,
        "How many datagrams a second of one address are answered; above it one in four is. 0: all. "
        "[default: 1000, but all on loopback]",
    ],
    ["epoch", None, None, "Where UDP counts seconds from: unix, or 1900 as RFC 868 does. [default: unix]"],
    [
        "show-messages",
        None,
        None,
        "The most messages a second that are shown in the log; 0 shows none. [default: 100]",
    ],
    [
        "drain-seconds",
        None,
        None,
        "How long a stop waits for connections to receive what they are owed. [default: 5]",
    ],
]
_REPEATABLE = ("tcp", "udp", "sockopt", "allow", "deny")
COMPLETIONS = usage.Completions(
    multiUse=_REPEATABLE,
    optActions={
        **{name: usage.Completer() for name in (*_REPEATABLE, *(row[0] for row in PARAMETERS))},
        "config": usage.CompleteFiles(),
        "control": usage.CompleteFiles(),
        "control-group": usage.CompleteGroups(),
        "epoch": usage.CompleteList(["unix", "1900"]),
        "sockopt": usage.CompleteList([f"{option.name}=" for option in CATALOGUE if option.settable]),
    },
)
"""What a shell offers as their values; to Twisted each option that is not named here takes a file."""
