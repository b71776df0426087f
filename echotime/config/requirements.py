"""Find options that lack what they require, which are faults, and options without effect, which are warnings.

A file may serve several instances, and a drop-in be added to any of them. So an option may act on a transport that this
daemon does not serve.
"""

from __future__ import annotations

from collections.abc import Iterator

from echotime.config import checks
from echotime.config.parsers import LOG_KINDS, STANDARD_STREAMS
from echotime.config.settings import SETTING_OPTIONS, Settings
from echotime.wire.hostport import HostPort

Unmet = tuple[str, str]
"""The name of an option, and the rest of a sentence: what the option requires."""


def missing_options(settings: Settings) -> Iterator[Unmet]:
    """Yield the options that require another option wherever the daemon runs."""
    if "datagrams" in settings.log_also and not settings.log_message_rate:
        yield "log-also", "datagrams requires a --log-message-rate of 1 or more"
    for name in ("http_allow_remote", "http_public_metrics"):
        if getattr(settings, name) and not settings.http:
            yield name.replace("_", "-"), "requires --http"


def missing_surroundings(settings: Settings, *, in_background: bool) -> Iterator[Unmet]:
    """Yield the options that require twistd -n, or a control socket. A service has one by default."""
    if settings.operator and in_background:
        yield "operator", "requires twistd -n: a daemon in the background has no terminal"
    if settings.record in STANDARD_STREAMS and in_background:
        yield "record", f"{settings.record} requires twistd -n"
    in_service = "unless RUNTIME_DIRECTORY is set, as in a service"
    for name in ("wait_for_operator", "reply_deadline"):
        if getattr(settings, name) and not settings.has_operator:
            yield name.replace("_", "-"), f"requires --operator, --control or --http, {in_service}"
    if settings.control_group is not None and settings.control is None:
        yield "control-group", f"requires --control, {in_service}"
    has_tcp = any(isinstance(each, HostPort) for each in settings.http)
    if has_tcp and settings.control is None and not settings.http_public_metrics:
        yield (
            "http",
            "over TCP requires --control, whose socket gives the token, or --http-public-metrics for metrics and "
            f"health alone, {in_service}",
        )


def without_effect(settings: Settings) -> Iterator[str]:
    """Yield a line for each transport that is not served, and for each socket option that acts on no listener."""
    served = {
        name: [*addresses, *checks.behaving_addresses(settings.behave, name)]
        for name, addresses in (("tcp", settings.tcp), ("udp", settings.udp))
    }
    defaults = Settings()
    for transport, listeners in served.items():
        if listeners:
            continue
        names = [
            each.name
            for each in SETTING_OPTIONS
            if each.transport == transport and getattr(settings, each.setting) != getattr(defaults, each.setting)
        ]
        names += [f"log-also {each}" for each in settings.log_also if LOG_KINDS[each] == transport]
        if names:
            yield f"no effect without a {transport.upper()} listener: {', '.join(names)}"
    yield from filter(None, checks.unusable_sockopts(settings.sockopts, served["tcp"], served["udp"]))
