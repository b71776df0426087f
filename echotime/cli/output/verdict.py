"""Describe a failed echo session: what differs first and its usual cause, or why there was no answer."""

from __future__ import annotations

from echotime.cli.output.streams import describe_error, print_error
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.i18n.language import gettext as _
from echotime.wire.escape import escape
from echotime.wire.verify import Cause, VerifyResult


def describe_failure(failure: ClientError | VerifyResult) -> str:
    """Return the reason why an echo session failed."""
    if isinstance(failure, VerifyResult):
        end = _("end of file")
        return _("wrong byte at offset {offset}: expected {expected}, found {found} (usual cause: {cause})").format(
            offset=failure.wrong_at,
            expected=f"'{escape(failure.expected)}'" if failure.expected else end,
            found=f"'{escape(failure.found)}'" if failure.found else end,
            cause=_describe_cause(failure.cause),
        )
    if failure.status is ExitStatus.NO_ANSWER:
        return _("no answer: the server closed the connection (usual cause: an access list or a connection limit)")
    return describe_error(failure)


def report_failure(server: object, failure: ClientError | VerifyResult, note: str = "") -> int:
    """Print a failure in one line, with a note after it, and return its exit status."""
    text = _("{server}: {reason}").format(server=server, reason=describe_failure(failure))
    print_error(f"echotime: {text}{note}")
    return exit_status(failure)


def exit_status(failure: ClientError | VerifyResult) -> int:
    """Return the exit status for a failure."""
    return ExitStatus.FAILED if isinstance(failure, VerifyResult) else failure.status


def _describe_cause(cause: Cause) -> str:
    causes = {
        Cause.CUT: _("the server or a proxy closed the connection too early"),
        Cause.NO_TRAILER: _("the server sends no acknowledgement; see --ack"),
        Cause.TRAILER: _("the server has another acknowledgement or reply; see --ack and --reply"),
        Cause.EXTRA: _("the server also sends an acknowledgement or a reply; see --ack and --reply"),
        Cause.ECHO: _("not an echo server, a proxy that changes bytes, or another acknowledgement; see --ack"),
    }
    return causes[cause]
