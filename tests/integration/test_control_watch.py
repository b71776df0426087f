"""Test `echotime control watch` and its prompt."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess

from echotime.control.commands import Status
from tests.support.control_case import ControlTestCase, amp_box
from tests.support.far_end import HELLO, FarEnd, answer
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_exactly
from tests.support.pty_child import OnTerminal
from tests.support.tool_case import environment
from tests.support.twistd_process import LIMIT


class WatchTests(ControlTestCase):
    """Watch events with pipes for input and output."""

    def watching(self, *options: str) -> subprocess.Popen[bytes]:
        """Start an operator who watches, with pipes."""
        child = self.start("control", "--socket", str(self.path), *options, "watch")
        self.wait_for(lambda: self.ask(Status)["operators"] > 0)
        return child

    def line(self, child: subprocess.Popen[bytes]) -> str:
        """Return the next line of output."""
        assert child.stdout is not None
        return child.stdout.readline().decode().rstrip("\n")

    def test_watch(self) -> None:
        """Events are shown as they come; a typed line answers the oldest question; others' answers are shown."""
        self.start_daemon()
        child = self.watching()
        assert child.stdin is not None
        with connect(self.address) as client:
            client.sendall(b"hello\n")
            peer = f"127.0.0.1:{client.getsockname()[1]}"
            self.assertEqual(self.line(child), f"connection from {peer}")
            self.assertEqual(self.line(child), rf"question 1 of {peer}: hello\n")
            child.stdin.write(b"ok\n")
            child.stdin.flush()
            self.assertEqual(read_exactly(client, 19), b"hello\n" + ACKNOWLEDGEMENT + b"ok")
            self.assertRegex(self.line(child), rf"^question 1 of {peer}: answered by \w+ \(pid {child.pid}\)$")
            client.sendall(b"more")
            self.assertEqual(self.line(child), f"question 2 of {peer}: more")
            self.output("answer", "2", "faster")
            self.assertRegex(self.line(child), rf"^question 2 of {peer}: answered by \w+ \(pid \d+\)$")
            self.assertEqual(read_exactly(client, 21), b"more" + ACKNOWLEDGEMENT + b"faster")
        self.assertEqual(self.line(child), f"connection from {peer} ended by client, 10 bytes in, 40 bytes out")

    def test_events_only(self) -> None:
        """`watch --events` shows what arrives; no client waits because of it, and a line typed is no answer."""
        daemon = self.start_daemon("--log-also", "datagrams", "--reply", "constant")
        children = [
            self.start("control", "--socket", str(self.path), *options, "watch", "--events")
            for options in ((), ("--json",))
        ]
        # a line is read only once the daemon sends events
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"ok\n")
            child.stdin.flush()
        refusal = "not sent: with --events you are no operator; replies are typed in watch without it"
        self.assertEqual(self.line(children[0]), refusal)
        self.assertEqual(json.loads(self.line(children[1])), {"error": refusal})
        self.assertEqual(self.ask(Status)["operators"], 0)
        with connect(self.address) as client:
            client.sendall(b"hello\n")
            self.assertEqual(read_exactly(client, 25), b"hello\n" + ACKNOWLEDGEMENT + b"constant")
            peer = f"127.0.0.1:{client.getsockname()[1]}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(daemon.address("UDP"))
            ended = f"connection from {peer} ended by client, 6 bytes in, 25 bytes out"
            for expected in (f"connection from {peer}", rf"{peer}: hello\n", ended):
                self.assertEqual(self.line(children[0]), expected)
            sock.send(b"")
            source = f"127.0.0.1:{sock.getsockname()[1]}"
            self.assertEqual(self.line(children[0]), f"datagram from {source}, length 0, answered")
        events = [json.loads(self.line(children[1])) for _ in range(4)]
        self.assertEqual(
            [(each["event"], each.get("connection")) for each in events],
            [("connection_opened", 1), ("message", 1), ("connection_closed", 1), ("datagram", None)],
        )
        times = [each["time"] for each in events]
        self.assertEqual(times, sorted(times))
        self.assertRegex(times[0], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_events_without_input(self) -> None:
        """`watch --events` reads nothing, so it goes on after the end of input, until the daemon ends."""
        daemon = self.start_daemon("--log-also", "datagrams")
        child = self.start("control", "--socket", str(self.path), "watch", "--events")
        assert child.stdin is not None
        child.stdin.write(b"ok\n")
        child.stdin.close()
        child.stdin = None
        self.assertIn("not sent: ", self.line(child))
        one_shot(self.address, b"hello")
        lines = [self.line(child) for _ in range(3)]
        self.assertIn("ended by client, 5 bytes in", lines[2])
        self.served(daemon)
        self.assertEqual(child.wait(LIMIT), 5)

    def test_unexpected_arguments(self) -> None:
        """A command that takes no arguments refuses them, on the command line and at the prompt."""
        self.start_daemon()
        for command, argument in (("watch", "-q"), ("watch", "datagrams"), ("help", "watch"), ("quit", "now")):
            error = f"unexpected argument '{argument}'"
            ended = self.control(command, argument)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(error.encode(), ended.stderr)
            prompt = self.tool("control", "--socket", str(self.path), stdin=f"{command} {argument}\n".encode())
            self.assertEqual((prompt.returncode, prompt.stderr), (1, f"echotime: {error}\n".encode()))

    def test_leaving(self) -> None:
        """An operator leaves at the end of input or when killed, and pending clients get the constant reply."""
        self.start_daemon("--reply", "nobody")
        for end in ("close", "kill"):
            child = self.watching()
            with connect(self.address) as client:
                client.sendall(b"x")
                self.line(child)
                self.line(child)
                if end == "kill":
                    child.kill()
                else:
                    assert child.stdin is not None
                    child.stdin.close()
                    child.stdin = None
                self.assertEqual(read_exactly(client, 18), b"x" + ACKNOWLEDGEMENT + b"nobody")
            self.wait_for(lambda: self.ask(Status)["operators"] == 0)

    def test_message_that_is_no_question(self) -> None:
        """A message that gets the constant reply at once is shown by itself."""
        self.start_daemon("--max-questions", "1")
        child = self.watching()
        with connect(self.address) as waiting, connect(self.address) as client:
            waiting.sendall(b"one")
            self.line(child)
            self.assertIn("question 1 of ", self.line(child))
            client.sendall(b"two")
            self.line(child)
            self.assertEqual(self.line(child), f"127.0.0.1:{client.getsockname()[1]}: two")

    def test_datagrams(self) -> None:
        """With --log-also datagrams the datagrams are shown, and are events of their own in JSON."""
        daemon = self.start_daemon("--log-also", "datagrams")
        children = [self.watching(), self.watching("--json")]
        self.wait_for(lambda: self.rows("status")["operators"] == 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(daemon.address("UDP"))
            sock.send(b"\x1b" + b"x" * 99)
            peer = f"127.0.0.1:{sock.getsockname()[1]}"
            shown = "\\x1b" + "x" * 15
            self.assertEqual(self.line(children[0]), f"datagram from {peer}, length 100, answered: {shown}\\...")
            event = {"event": "datagram", "peer": peer, "message": shown, "size": 100, "outcome": "answered"}
            shown = json.loads(self.line(children[1]))
            self.assertTrue(shown.pop("time"))
            self.assertEqual(shown, event)

    def test_json(self) -> None:
        """With --json each event is one JSON object per line."""
        self.start_daemon()
        child = self.watching("--json")
        with connect(self.address) as client:
            client.sendall(b"\xffhello")
            events = [json.loads(self.line(child)) for _ in range(3)]
        self.assertEqual([event["event"] for event in events], ["connection_opened", "message", "question"])
        self.assertEqual((events[2]["message"], events[2]["size"]), (r"\xffhello", 6))

    def test_who_does_not_read(self) -> None:
        """An operator who does not read delays no client, and costs no unbounded memory."""
        daemon = self.start_daemon("--log-message-rate", "0", "--max-questions", "1")
        sock = self.control_socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.sendall(amp_box(_command=b"Watch", _ask=b"1", on=b"True"))
        sock.recv(100)
        with connect(self.address) as waiting, connect(self.address) as client:
            waiting.sendall(b"x")
            before = daemon.resident()
            for _ in range(3000):
                client.sendall(b"x" * 4000)
                read_exactly(client, 4000 + len(ACKNOWLEDGEMENT))
        self.assertLess(daemon.resident() - before, 10_000_000)

    def test_who_reads_is_kept(self) -> None:
        """An operator who reads is not dropped for a burst of questions, or many pending ones."""
        self.start_daemon("--wait-for-operator", "--max-questions-per-source", "400", "--log-message-rate", "0")
        clients = [connect(self.address) for _ in range(400)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(b"x" * 600)
        self.wait_for(lambda: self.ask(Status)["questions"] == 400)
        child = self.watching()
        assert child.stdout is not None
        for number in range(1, 401):
            self.assertIn(f"question {number} of ", child.stdout.readline().decode())
        self.assertEqual(self.rows("status")["operators"], 1)

    def test_interrupted(self) -> None:
        """Ctrl-C ends `watch` with status 0."""
        self.start_daemon()
        child = self.watching()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(LIMIT), 0)

    def test_daemon_goes(self) -> None:
        """When the daemon ends, `watch` ends at once with an error, without any input."""
        daemon = self.start_daemon()
        child = self.watching()
        self.served(daemon)
        self.assertEqual(child.wait(LIMIT), 5)
        assert child.stderr is not None
        self.assertIn(b"the daemon ended", child.stderr.read())

    def test_nobody_reads_the_events(self) -> None:
        """`watch` ends silently by SIGPIPE if its output is closed, as by `head`."""
        self.start_daemon()
        child = self.watching()
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None
        one_shot_later = connect(self.address)
        self.addCleanup(one_shot_later.close)
        one_shot_later.sendall(b"x")
        self.assertEqual(child.wait(LIMIT), -signal.SIGPIPE)
        assert child.stderr is not None
        self.assertEqual(child.stderr.read(), b"")


class PromptTests(ControlTestCase):
    """Run the prompt on a terminal."""

    def at_prompt(self) -> OnTerminal:
        """Start an operator at the prompt."""
        self.need("setsid")
        env = environment({"HOME": str(self.directory), "TERM": "xterm", "XDG_STATE_HOME": ""})
        terminal = OnTerminal(self.command("control", "--socket", str(self.path)), env)
        self.addCleanup(terminal.close)
        terminal.until(r"connected to echotime [\d.]+ as \w+ \(pid \d+\)")
        terminal.until("echotime> $")
        return terminal

    def test_dialogue(self) -> None:
        """The prompt has commands, completion, error messages, help and quit, and keeps a history."""
        self.start_daemon("--wait-for-operator")
        client = self.pending_client(b"hello")
        terminal = self.at_prompt()
        terminal.type(b"que\t\n")
        terminal.until(r"1 +127\.0\.0\.1:\d+ +\d+s +hello\r\n")
        terminal.type(b"answr 1 x\n")
        terminal.until("unknown command 'answr'; the nearest is answer\r\n")
        terminal.type(b"answer 1  two  spaces\n")
        terminal.until("answered question 1")
        self.assertEqual(read_exactly(client, 28), b"hello" + ACKNOWLEDGEMENT + b" two  spaces")
        terminal.type(b"help\n")
        terminal.until(r"watch \[--events\] +be an operator")
        terminal.until("echotime> $")
        terminal.type(b"half a line")
        terminal.until("half a line$")
        terminal.interrupt()
        terminal.until("echotime> $")
        terminal.type(b"quit\n")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn(b"Traceback", terminal.shown)
        history = (self.directory / ".local" / "state" / "echotime_history").read_text()
        self.assertIn("answer 1  two  spaces\n", history)

    def test_watch(self) -> None:
        """Events appear above a typed line, which is entered whole; Ctrl-D returns to the prompt.

        The prompt names the oldest question, and is there only while one waits.
        """
        self.start_daemon()
        terminal = self.at_prompt()
        terminal.type(b"watch\n")
        terminal.until("watching as an operator: clients wait for your replies; Ctrl-D ends it\r\n$")
        with connect(self.address) as first, connect(self.address) as second:
            first.sendall(b"one")
            terminal.until("question 1 of .*: one\r\nreply to 1: $")
            terminal.type(b"hal")
            terminal.until("hal")
            second.sendall(b"two")
            terminal.until("question 2 of .*: two\r\nreply to 1: hal$")
            terminal.type(b"f\n")
            self.assertEqual(read_exactly(first, 18), b"one" + ACKNOWLEDGEMENT + b"half")
            terminal.until("question 1 of .*answered by .*\r\nreply to 2: $")
            terminal.type(b"\x04")
            terminal.until("echotime> $")
            self.assertEqual(read_exactly(second, 14), b"two" + ACKNOWLEDGEMENT)
        terminal.type(b"\x04")
        self.assertEqual(terminal.end(), 0)

    def test_many_answers(self) -> None:
        """Each of many quick answers is one line after one prompt, whatever is shown meanwhile."""
        self.start_daemon()
        terminal = self.at_prompt()
        terminal.type(b"watch\n")
        terminal.until("watching as an operator: clients wait for your replies; Ctrl-D ends it\r\n$")
        for number in range(1, 10):
            with connect(self.address) as client:
                client.sendall(b"m")
                terminal.until(f"reply to {number}: $")
                terminal.type(b"answer\n")
                self.assertEqual(read_exactly(client, 18), b"m" + ACKNOWLEDGEMENT + b"answer")
        terminal.until("connection from .* ended by client.*\r\n$")
        # an erased line has never been there
        shown = re.sub(r"[^\n]*\r\x1b\[J", "", terminal.shown.decode())
        self.assertEqual(
            re.findall(r"\n(.*(?:reply|answer\b).*)\r", shown), [f"reply to {n}: answer" for n in range(1, 10)]
        )
        terminal.type(b"\x04")
        terminal.until("echotime> $")

    def test_answered_by_another(self) -> None:
        """A reply that was begun is discarded if another operator answers; after a refused one the prompt is back."""
        self.start_daemon("--encoding", "ascii")
        terminal = self.at_prompt()
        terminal.type(b"watch\n")
        terminal.until("watching as an operator: clients wait for your replies; Ctrl-D ends it\r\n$")
        terminal.type(b"early\n")
        terminal.until("no question is pending\r\n$")
        with connect(self.address) as client:
            client.sendall(b"m")
            terminal.until("reply to 1: $")
            terminal.type(b"slow")
            terminal.until("reply to 1: slow$")
            self.output("answer", "1", "fast")
            terminal.until("question 1 of .*: answered by .*\r\n.*unfinished input discarded\r\n$")
            self.assertEqual(read_exactly(client, 16), b"m" + ACKNOWLEDGEMENT + b"fast")
            client.sendall(b"n")
            terminal.until("reply to 2: $")
            terminal.type("\u20ac\nok\n".encode())
            terminal.until("cannot be written in ascii\r\n")
            self.assertEqual(read_exactly(client, 14), b"n" + ACKNOWLEDGEMENT + b"ok")
        terminal.type(b"\x03")
        terminal.until("echotime> $")
        terminal.type(b"quit\n")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_without_home(self) -> None:
        """The prompt works without HOME for a uid that has no entry in passwd, and keeps no history."""
        self.need("setsid", "setpriv")
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        self.directory.chmod(0o755)
        far_end = FarEnd(self.path, lambda name, box: answer(box, **HELLO))
        self.addCleanup(far_end.close)
        env = environment({"TERM": "xterm", "XDG_STATE_HOME": ""})
        del env["HOME"]
        identity = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
        terminal = OnTerminal([*identity, *self.command("control", "--socket", str(self.path))], env)
        self.addCleanup(terminal.close)
        terminal.until("connected to echotime 1 as ")
        terminal.until("echotime> $")
        terminal.type(b"quit\n")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn(b"Traceback", terminal.shown)
