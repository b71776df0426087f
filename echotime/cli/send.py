"""Implement `echotime send`: send a message, half-close, and print what comes back (original script: tcpclient.py)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echotime.cli import arguments
from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.streams import print_error
from echotime.cli.output.verdict import report_failure
from echotime.cli.send_repeatedly import CONNECT_TIMEOUT, send_repeatedly
from echotime.client.connect import connect
from echotime.client.deadline import Deadline
from echotime.client.echo import EchoClient
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import resolve
from echotime.i18n.language import gettext as _
from echotime.terminal.descriptors import DescriptorReader, DescriptorWriter
from echotime.wire.escape import TerminalDecoder
from echotime.wire.verify import EchoVerifier


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "send",
        help=_("send a message and print what comes back"),
        description=_("Send MESSAGE, half-close, and write what comes back to standard output until the end of file."),
        epilog=_("Example: echotime send 127.0.0.1:12345 hello"),
    )
    arguments.add_server(parser, optional=True)
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", help=_("message to send; default or -: standard input")
    )
    parser.add_argument("--verify", action="store_true", help=_("verify every byte that comes back"))
    arguments.add_trailer(parser)
    parser.add_argument("--keep-open", action="store_true", help=_("do not half-close"))
    parser.add_argument(
        "--timeout",
        **arguments.TIME,
        help=_("give up when nothing was sent or received for this long; with --repeat: limit each session"),
    )
    parser.add_argument("--repeat", **arguments.COUNT, help=_("run N sessions, verify each, and print a summary"))
    parser.add_argument(
        "--parallel", **arguments.COUNT, help=_("with --repeat: run N sessions at the same time (default: 1)")
    )
    arguments.add_encoding(parser)
    parser.add_argument("--raw", action="store_true", help=_("write what comes back unchanged, even to a terminal"))
    parser.add_argument("-q", "--quiet", action="store_true", help=_("do not report the end of sending"))
    arguments.add_sockopt(parser)
    parser.set_defaults(run=run, usage_error=parser.error, transports=lambda args: ["tcp"])


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    if args.repeat is not None and (args.keep_open or args.raw):
        args.usage_error(_("--repeat cannot be combined with --keep-open or --raw"))
    if args.repeat is None and args.parallel is not None:
        args.usage_error(_("--parallel requires --repeat"))
    _prompt_for_missing(args)
    try:
        if args.repeat is not None:
            return await send_repeatedly(reactor, args)
        return await _SendSession(reactor, args).run()
    except ClientError as failed:
        return report_failure(args.server, failed)


def _prompt_for_missing(args: argparse.Namespace) -> None:
    """Prompt for a missing server and message on a terminal, as the original script does."""
    arguments.prompt_for_server(args, _("input the server ip:"))
    if args.message is None and sys.stdin.isatty():
        args.message = arguments.prompt_line(_("input the message to send:"))
    elif args.message == "-":
        args.message = None
    if args.message is not None:
        try:
            args.message = args.message.encode(args.encoding, "surrogateescape")
        except UnicodeEncodeError:
            args.usage_error(_("the message cannot be encoded in {encoding}").format(encoding=args.encoding))


class _SendSession:
    """Run one session that writes to standard output."""

    def __init__(self, reactor: Any, args: argparse.Namespace) -> None:
        self._reactor = reactor
        self._args = args
        self._verifier = EchoVerifier(args.ack, args.reply) if args.verify else None
        self._all_sent = False
        self._bytes_acked = 0

    async def run(self) -> int:
        """Connect, send and receive, and return the exit status."""
        args = self._args
        output = self._open_output()
        idle_timer = IdleTimer(self._reactor, args.timeout)
        deadline = Deadline(self._reactor, args.timeout or CONNECT_TIMEOUT)
        addresses = await resolve(args.server.host, args.server.port, deadline)
        client = await connect(
            self._reactor,
            addresses,
            lambda: EchoClient(output, self._verifier, idle_timer.reset),
            args.sockopt,
            deadline,
        )
        self._client = client
        idle_timer.start(lambda: self._on_idle(idle_timer))
        if isinstance(output, DescriptorWriter):
            output.registerProducer(client, True)
        self._send()
        try:
            await client.ended
        except ClientError:
            if self._verifier is None or self._verifier.can_still_match:
                raise
        finally:
            idle_timer.cancel()
            await output.finish()
        return self._exit_status()

    def _on_idle(self, idle_timer: IdleTimer) -> None:
        """Abort, unless standard output is not ready, or the server acknowledged more bytes since the last call."""
        bytes_acked = self._client.bytes_acked()
        if self._client.paused or bytes_acked > self._bytes_acked:
            self._bytes_acked = bytes_acked
            idle_timer.start(lambda: self._on_idle(idle_timer))
        else:
            self._client.abort(ClientError(ExitStatus.TIMED_OUT))

    def _open_output(self) -> Any:
        if sys.stdout.isatty() and not self._args.raw:
            return _TerminalSink(self._args.encoding)
        return DescriptorWriter(sys.stdout.fileno(), self._write_failed, self._reactor)

    def _write_failed(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            exit_with_error(error)
        self._abort(_("standard output: {reason}").format(reason=_(str(error.strerror))))

    def _read_failed(self, error: OSError) -> None:
        self._abort(_("standard input: {reason}").format(reason=_(str(error.strerror))))

    def _abort(self, reason: str) -> None:
        self._client.abort(ClientError(ExitStatus.FAILED, reason))

    def _send(self) -> None:
        if self._args.message is not None:
            if self._args.message:
                self._client.send(self._args.message)
            self._sending_done()
            return
        source = DescriptorReader(
            sys.stdin.fileno(), self._client.send, self._sending_done, self._read_failed, self._reactor
        )
        self._client.send_from(source)

    def _sending_done(self) -> None:
        self._all_sent = True
        if not self._args.keep_open:
            self._client.half_close()
        if not self._args.quiet:
            print_error(_("Sending is done."))

    def _exit_status(self) -> int:
        client = self._client
        if self._all_sent and client.sent_bytes and not client.received_bytes:
            raise ClientError(ExitStatus.NO_ANSWER)
        if self._verifier is not None:
            return self._verify(self._verifier)
        if not self._all_sent:
            raise ClientError(ExitStatus.FAILED, _("the server closed the connection before everything was sent"))
        return ExitStatus.OK

    def _verify(self, verifier: EchoVerifier) -> int:
        result = verifier.finish()
        if not result.exact:
            return report_failure(self._args.server, result)
        if not self._args.quiet:
            sizes = {"sent": self._client.sent_bytes, "received": self._client.received_bytes}
            print_error(_("Verified: {sent} bytes sent, {received} bytes received, all correct.").format(**sizes))
        return ExitStatus.OK


class _TerminalSink:
    """Show received bytes on a terminal, decoded and with control characters escaped."""

    def __init__(self, encoding: str) -> None:
        self._decoder = TerminalDecoder(encoding)

    def write(self, data: bytes) -> None:
        sys.stdout.write(self._decoder.feed(data))
        sys.stdout.flush()

    async def finish(self) -> None:
        """Show the bytes of an incomplete character."""
        sys.stdout.write(self._decoder.feed(b"", final=True))
        sys.stdout.flush()


class IdleTimer:
    """Call a function when `reset` was not called for `timeout` seconds. None disables the timer."""

    def __init__(self, clock: IReactorTime, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._delayed_call: IDelayedCall | None = None

    def start(self, on_idle: Callable[[], object]) -> None:
        """Start the timer with this function."""
        if self._timeout is not None:
            self._delayed_call = self._clock.callLater(self._timeout, on_idle)

    def reset(self) -> None:
        """Start the time again, if the timer is running."""
        if self._delayed_call is not None and self._delayed_call.active() and self._timeout is not None:
            self._delayed_call.reset(self._timeout)

    def cancel(self) -> None:
        """Stop the timer if it is running."""
        if self._delayed_call is not None and self._delayed_call.active():
            self._delayed_call.cancel()
