"""docs/socket-options.md, made from the catalogue: ``python -m echotime.sockopt.document``."""

from __future__ import annotations

from echotime.sockopt.assignment import EXPECTED
from echotime.sockopt.catalogue import CATALOGUE
from echotime.sockopt.option import LEVELS, Option

_TITLES = {
    "SOL_SOCKET": "Every socket",
    "IPPROTO_TCP": "TCP",
    "IPPROTO_IP": "IPv4",
    "IPPROTO_IPV6": "IPv6",
}
_INTRODUCTION = f"""# Socket options

<!-- Made from echotime/sockopt/catalogue.py by `make docs`; edit that. -->

Every option here that is not read-only is set on the listening sockets by `--sockopt`:

    {EXPECTED}

Without `tcp:` or `udp:` it goes wherever it can have an effect. After start the log says for each what was asked
and what `getsockopt` reads back:

    SO_RCVBUF asked 65536, effective 131072: the kernel doubles it, between a smallest size and twice net.core.rmem_max

An option without a name here is set by its numbers, as in `--sockopt 1:40=1` or `SOL_SOCKET:40=1` (SO_RXQ_OVFL); its
value is a number, `on`, `off`, a size, or bytes as `hex:01000000`. What options deliver with each datagram (times,
TTLs, ...) is received by echotime and not used. Options are set before bind, because a connection is the kernel's
copy of its listener; what Linux leaves out of the copy is set again on each connection. On a socket that was
passed in already bound, what must be set earlier is not set, and the report says so.

Set without being asked for, and overruled by asking: SO_REUSEADDR (on UDP cleared again right after bind) and
TCP_NODELAY; on a wildcard address IP_PKTINFO or IPV6_RECVPKTINFO for UDP; on `[::]` IPV6_V6ONLY off.
"""


def markdown() -> str:
    """The whole document."""
    parts = [_INTRODUCTION]
    for level, title in _TITLES.items():
        rows = [option for option in CATALOGUE if option.level == level]
        parts.append(f"## {title} ({level}, level {LEVELS[level]})\n\n" + "\n".join(map(_entry, rows)))
    return "\n".join(parts)


def _entry(option: Option) -> str:
    facts = [
        f"number {option.number}",
        " and ".join(each.upper() for each in option.transports),
        f"value: {option.form.expected}" if option.settable else "read-only",
    ]
    if option.settable:
        facts.append(f"set {option.moment.value}")
        if "tcp" in option.transports:
            facts.append(f"on accepted connections: {option.on_accept.value}")
    if option.privilege:
        facts.append(f"needs {option.privilege}")
    lines = [f"### {option.name}", "", option.meaning, "", *(f"- {fact}" for fact in facts)]
    if option.altered:
        lines.append(f"- reads back differently: {option.altered}")
    if option.trap:
        lines += ["", option.trap]
    if option.danger:
        value = option.form.show(option.danger.value)
        lines += ["", f"Warned of at start ({option.danger.transport}:{option.name}={value}): {option.danger.warning}."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(markdown(), end="")
