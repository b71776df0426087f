"""`echotime send`: send a message, half-close, show what comes back until the end of file (seed: tcpclient.py)."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from echotime.clients.dial import dial
from echotime.clients.echo import EchoClient
from echotime.clients.status import ClientFailed, Status
from echotime.command import arguments
from echotime.command.inactivity import Inactivity
from echotime.command.report import say, say_failed
from echotime.command.send_repeatedly import CONNECT_SECONDS, send_repeatedly
from echotime.command.streams import output_failed
from echotime.locale.language import gettext as _
from echotime.streams.descriptors import Input, Output
from echotime.wire.exactness import Exactness, Verdict
from echotime.wire.printable import TerminalText, escape


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "send",
        help=_("send a message, show what comes back"),
        description=_(
            "Send MESSAGE, close the sending side, and write what comes back to standard output until the end of file."
        ),
        epilog=_("Example: echotime send 127.0.0.1:12345 hello"),
    )
    arguments.add_server(parser, optional=True)
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", help=_("what to send; - or nothing: what standard input holds")
    )
    parser.add_argument("--verify", action="store_true", help=_("check every byte of what comes back"))
    arguments.add_contract(parser)
    parser.add_argument("--keep-open", action="store_true", help=_("do not close the sending side"))
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=arguments.coerced(arguments.seconds),
        help=_("give up when nothing was sent or received for so long; with --repeat: what a session may take"),
    )
    parser.add_argument(
        "--repeat",
        metavar="N",
        type=arguments.coerced(arguments.positive),
        help=_("so many sessions, each checked, and a summary of them"),
    )
    parser.add_argument(
        "--parallel",
        metavar="M",
        type=arguments.coerced(arguments.positive),
        help=_("with --repeat: so many at the same time"),
    )
    arguments.add_encoding(parser)
    parser.add_argument("--raw", action="store_true", help=_("write what comes back as it is, on a terminal too"))
    parser.add_argument("-q", "--quiet", action="store_true", help=_("do not say that sending is done"))
    arguments.add_sockopt(parser)
    parser.set_defaults(run=run, usage_error=parser.error, transports=lambda args: ["tcp"])


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if args.repeat is not None and (args.keep_open or args.raw):
        args.usage_error(_("--repeat goes with neither --keep-open nor --raw"))
    if args.repeat is None and args.parallel is not None:
        args.usage_error(_("--parallel goes with --repeat"))
    _ask_for_missing(args)
    try:
        if args.repeat is not None:
            return await send_repeatedly(reactor, args)
        return await _Dialogue(reactor, args).run()
    except ClientFailed as failed:
        return say_failed(args.server, failed)


def _ask_for_missing(args: argparse.Namespace) -> None:
    """Ask the person at the terminal, as the seed's client does."""
    arguments.ask_for_server(args, _("input the server ip:"))
    if args.message is None and sys.stdin.isatty():
        args.message = arguments.prompted(_("input the message to send:"))
    elif args.message == "-":
        args.message = None
    if args.message is not None:
        try:
            args.message = args.message.encode(args.encoding, "surrogateescape")
        except UnicodeEncodeError:
            args.usage_error(_("the message cannot be written in {encoding}").format(encoding=args.encoding))


class _Dialogue:
    """One session with standard output as its end."""

    def __init__(self, reactor: Any, args: argparse.Namespace) -> None:
        self._reactor = reactor
        self._args = args
        self._exactness = Exactness(args.ack, args.reply) if args.verify else None
        self._all_sent = False
        self._taken = 0

    async def run(self) -> int:
        """Connect, send, receive; the exit status."""
        args = self._args
        output = self._output()
        watch = Inactivity(self._reactor, args.timeout)
        client = await dial(
            self._reactor,
            args.server.host,
            args.server.port,
            lambda: EchoClient(output, self._exactness, watch.moved),
            args.sockopt,
            args.timeout or CONNECT_SECONDS,
        )
        self._client = client
        watch.begin(lambda: self._nothing_moved(watch))
        if isinstance(output, Output):
            output.registerProducer(client, True)
        self._send()
        try:
            await client.ended
        finally:
            watch.end()
            await output.finish()
        return self._status()

    def _nothing_moved(self, watch: Inactivity) -> None:
        """Give up, unless it is standard output that waits, or the server has taken what was sent before."""
        taken = self._client.acknowledged()
        if self._client.paused or taken > self._taken:
            self._taken = taken
            watch.begin(lambda: self._nothing_moved(watch))
        else:
            self._client.give_up(ClientFailed(Status.TIMED_OUT))

    def _output(self) -> Any:
        if sys.stdout.isatty() and not self._args.raw:
            return _Terminal(self._args.encoding)
        return Output(sys.stdout.fileno(), self._cannot_write, self._reactor)

    def _cannot_write(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            output_failed(error)
        text = _("standard output: {reason}").format(reason=error.strerror)
        self._client.give_up(ClientFailed(Status.FAILED, text))

    def _send(self) -> None:
        if self._args.message is not None:
            if self._args.message:
                self._client.send(self._args.message)
            self._sent()
            return
        source = Input(sys.stdin.fileno(), self._client.send, self._sent, self._cannot_read, self._reactor)
        self._client.feed(source)

    def _cannot_read(self, error: OSError) -> None:
        text = _("standard input: {reason}").format(reason=error.strerror)
        self._client.give_up(ClientFailed(Status.FAILED, text))

    def _sent(self) -> None:
        self._all_sent = True
        if not self._args.keep_open:
            self._client.half_close()
        if not self._args.quiet:
            say(_("Sending is done."))

    def _status(self) -> int:
        if self._exactness is not None:
            return _judged(self._args.server, self._exactness.ended())
        if not self._all_sent:
            raise ClientFailed(Status.FAILED, _("the server ended before all was sent"))
        if self._client.sent_bytes and not self._client.received_bytes:
            raise ClientFailed(Status.NO_ANSWER)
        return Status.OK


def _judged(server: object, verdict: Verdict) -> int:
    if verdict.exact:
        return Status.OK
    end = _("the end of file")
    say(
        _("echotime: {server}: wrong at offset {offset} of the answer: expected {expected}, found {found}").format(
            server=server,
            offset=verdict.wrong_at,
            expected=f"'{escape(verdict.expected)}'" if verdict.expected else end,
            found=f"'{escape(verdict.found)}'" if verdict.found else end,
        )
    )
    return Status.FAILED


class _Terminal:
    """A sink that shows what comes back on a terminal, harmless and in the user's encoding."""

    def __init__(self, encoding: str) -> None:
        self._text = TerminalText(encoding)

    def write(self, data: bytes) -> None:
        """Show some."""
        sys.stdout.write(self._text.feed(data))
        sys.stdout.flush()

    async def finish(self) -> None:
        """Show what is left of a broken character."""
        sys.stdout.write(self._text.feed(b"", final=True))
        sys.stdout.flush()
