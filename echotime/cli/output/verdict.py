"""Describe a failed echo session: what happened to its bytes, and what usually causes it."""

from __future__ import annotations

from echotime.cli.output.streams import describe_error, print_error
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.i18n.language import gettext as _
from echotime.wire.escape import escape
from echotime.wire.verify import Cause, VerifyResult


def describe_failure(failure: ClientError) -> str:
    """Return the reason why a request or an echo session failed."""
    if not isinstance(failure, EchoFailure):
        return describe_error(failure)
    event = _describe_event(failure)
    cause = _usual_cause(failure)
    return _("{event} (usual cause: {cause})").format(event=event, cause=cause) if cause else event


def report_failure(server: object, failure: ClientError) -> int:
    """Print a failure in one line, and return its exit status."""
    text = _("{server}: {reason}").format(server=server, reason=describe_failure(failure))
    print_error(f"echotime: {text}")
    return failure.status


def _describe_event(failure: EchoFailure) -> str:
    if failure.result is not None and failure.has_wrong_byte:
        return _describe_wrong_byte(failure.result)
    amount, end = _describe_amount(failure), _describe_end(failure)
    if failure.status is ExitStatus.NO_ANSWER:
        text = _("{end}, {amount}")
    elif failure.status is ExitStatus.RESET:
        text = _("connection reset after {amount}")
    elif failure.cause is Cause.NO_REPLY:
        text = _("no reply after the acknowledgement, {end}")
    elif failure.cause is Cause.NO_TRAILER:
        text = _("no acknowledgement or reply after the echo, {end}")
    elif failure.cause is not None:
        text = _("cut after {amount}, {end}")
    else:
        text = _("{reason}, after {amount}")
    return text.format(amount=amount, end=end, reason=_describe_reason(failure))


def _describe_reason(failure: EchoFailure) -> str:
    if failure.status is ExitStatus.TIMED_OUT and not failure.received:
        return _("timed out: connected, no answer")
    return describe_error(failure)


def _describe_wrong_byte(result: VerifyResult) -> str:
    return _("wrong byte at offset {offset}: expected {expected}, found {found}").format(
        offset=result.wrong_at,
        expected=f"'{escape(result.expected)}'" if result.expected else _("end of file"),
        found=f"'{escape(result.found)}'",
    )


def _describe_amount(failure: EchoFailure) -> str:
    """Return how much was received, of how much where that is known."""
    if failure.result is None:
        return _("{sent} bytes sent and {received} received").format(sent=failure.sent, received=failure.received)
    expected = failure.received + failure.result.missing
    return _("{received} of {expected} bytes").format(received=failure.received, expected=expected)


def _describe_end(failure: EchoFailure) -> str:
    """Return when the end of file came. The time tells a proxy's timeouts apart."""
    if failure.half_closed_seconds is None:
        return _("end of file")
    return _("end of file {ms:.1f} ms after the half-close").format(ms=failure.half_closed_seconds * 1000)


def _usual_cause(failure: EchoFailure) -> str:
    """Return what usually causes a failure, or nothing if there is no usual cause."""
    is_half_closed = failure.half_closed_seconds is not None
    if failure.cause is not None:
        return _describe_cause(failure.cause, is_half_closed=is_half_closed)
    if failure.status is ExitStatus.NO_ANSWER:
        if not is_half_closed:
            return _("an access list or a connection limit")
        return _(
            "a proxy that does not pass on the half-close: nginx needs proxy_half_close on, "
            "Traefik a longer terminationDelay; or an access list or a connection limit"
        )
    if failure.status is ExitStatus.RESET:
        return _cause_of_reset(failure.received)
    if failure.status is ExitStatus.TIMED_OUT and failure.result is not None:
        return _cause_of_timeout(failure.result, is_half_closed=is_half_closed)
    return ""


def _cause_of_reset(received: int) -> str:
    if received:
        return _("an access list, a limit, a timeout or a stop of the server; its log says which")
    return _(
        "an access list, a limit, a timeout or a stop of the server, or a PROXY header that it expects; "
        "its log says which"
    )


def _cause_of_timeout(result: VerifyResult, *, is_half_closed: bool) -> str:
    if result.exact and is_half_closed:
        return _("a proxy that keeps the half-close to itself, so that the server waits for more")
    if not result.exact and result.cause in {Cause.NO_TRAILER, Cause.NO_REPLY}:
        return _describe_cause(result.cause, is_half_closed=False)
    return ""


def _describe_cause(cause: Cause, *, is_half_closed: bool) -> str:
    if is_half_closed and cause is Cause.CUT:
        return _(
            "a proxy that closes soon after the half-close: nginx needs proxy_half_close on, "
            "Traefik a longer terminationDelay; or a reset of the server, which a proxy passes on as FIN"
        )
    if is_half_closed and cause is Cause.NO_REPLY:
        return _(
            "the server has another reply, see --reply; "
            "or a proxy that closes soon after the half-close: Traefik needs a longer terminationDelay"
        )
    return {
        Cause.CUT: _("a reset or a stop of the server; a proxy passes on a reset as FIN"),
        Cause.NO_TRAILER: _("the server sends none; see --ack and --reply"),
        Cause.NO_REPLY: _("the server has another reply, see --reply"),
        Cause.TRAILER: _("the server has another acknowledgement or reply; see --ack and --reply"),
        Cause.EXTRA: _("the server also sends an acknowledgement or a reply; see --ack and --reply"),
        Cause.PROXY_HEADER: _("a load balancer sends a PROXY header, and the server expects none"),
        Cause.ECHO: _("not an echo server, a proxy that changes bytes, or another acknowledgement; see --ack"),
    }[cause]
