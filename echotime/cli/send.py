"""Implement `echotime send`: send a message, half-close, and print what comes back (original script: tcpclient.py)."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from contextlib import suppress
from typing import Any

from echotime.cli import arguments
from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.progress import Progress, add_progress, format_size
from echotime.cli.output.streams import print_error
from echotime.cli.output.terminal_sink import TerminalSink
from echotime.cli.output.verdict import report_failure
from echotime.cli.proxy_arguments import add_proxy, proxy_header
from echotime.cli.send_repeatedly import CONNECT_TIMEOUT, send_repeatedly
from echotime.client.connect import connect
from echotime.client.deadline import Deadline
from echotime.client.echo import EchoClient
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.idle_timer import IdleTimer
from echotime.client.lookup import resolve
from echotime.i18n.language import gettext as _
from echotime.terminal.descriptors import DescriptorReader, DescriptorWriter
from echotime.wire.hostport import DEFAULT_PORT, format_hostport
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
    parser.add_argument("-q", "--quiet", action="store_true", help=_("report only failures"))
    add_progress(parser)
    add_proxy(parser)
    arguments.add_sockopt(parser)
    parser.set_defaults(run=run, usage_error=parser.error, transports=lambda args: ["tcp"])


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    if args.repeat is not None and (args.keep_open or args.raw):
        args.usage_error(_("--repeat cannot be combined with --keep-open or --raw"))
    if args.repeat is None and args.parallel is not None:
        args.usage_error(_("--parallel requires --repeat"))
    _prompt_for_missing(args)
    session = _SendSession(reactor, args)
    try:
        if args.repeat is not None:
            return await send_repeatedly(reactor, args)
        return await session.run()
    except ClientError as failed:
        status = report_failure(args.server, failed)
        if failed.status in {ExitStatus.REFUSED, ExitStatus.TIMED_OUT}:
            _suggest_port(args)
        return status


def _suggest_port(args: argparse.Namespace) -> None:
    """Tell a user of nc or telnet, who gives the port as an argument of its own, how it is given here."""
    if args.message is not None and args.message.isdigit() and args.server.port == DEFAULT_PORT:
        text = args.message.decode()
        form = format_hostport(args.server.host, int(text))
        print_error(
            _("echotime: {text} is the message here; to give it as the port, write {form}").format(text=text, form=form)
        )


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
        self._input_size = _regular_file_size(sys.stdin.fileno()) if args.message is None else 0
        self._all_sent = False
        self._bytes_acked = 0

    async def run(self) -> int:
        """Connect, send and receive, and return the exit status."""
        args = self._args
        output = self._open_output()
        idle_timer = IdleTimer(self._reactor, args.timeout)
        deadline = Deadline(self._reactor, args.timeout or CONNECT_TIMEOUT)
        verifier = EchoVerifier(args.ack, args.reply) if args.verify else None
        addresses = await resolve(args.server, deadline, args.family)
        client = await connect(
            self._reactor,
            addresses,
            lambda: EchoClient(output, verifier, idle_timer.reset),
            args.sockopt,
            deadline,
            proxy_header(args),
        )
        self._client = client
        self._progress = Progress(self._reactor, self._shows_progress(), self._describe_progress)
        idle_timer.start(lambda: self._on_idle(idle_timer))
        if isinstance(output, DescriptorWriter):
            output.registerProducer(client, True)
        self._send()
        try:
            await client.completed()
        finally:
            idle_timer.cancel()
            self._progress.stop()
            await output.finish()
        if not self._all_sent:
            reason = _("the server closed the connection before everything was sent")
            raise client.failure(ClientError(ExitStatus.FAILED, reason))
        if args.verify and not args.quiet:
            sizes = {"sent": client.sent_bytes, "received": client.received_bytes}
            print_error(_("Verified: {sent} bytes sent, {received} bytes received, all correct.").format(**sizes))
        return ExitStatus.OK

    def _shows_progress(self) -> bool:
        # on a terminal the answer would be mixed with the progress
        args = self._args
        return args.message is None and not args.quiet and not args.no_progress and not sys.stdout.isatty()

    def _describe_progress(self, seconds: float) -> str:
        sent = format_size(self._client.sent_bytes)
        if self._input_size:
            share = 100 * self._client.sent_bytes // self._input_size
            sent = _("{sent} of {all} ({share}%)").format(sent=sent, all=format_size(self._input_size), share=share)
        received = format_size(self._client.received_bytes)
        return _("sent {sent}, received {received}, {seconds:.0f} s").format(
            sent=sent, received=received, seconds=seconds
        )

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
            return TerminalSink(self._args.encoding)
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
            self._progress.erase()
            print_error(_("Sending is done."))


def _regular_file_size(descriptor: int) -> int:
    """Return how many bytes follow in a file, or 0 if it is no regular file."""
    with suppress(OSError):
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return max(status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR), 0)
    return 0
