"""Run the programs and the commands of the tutorial against each other, the daemon and the tools."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.pty_child import OnTerminal
from tests.support.tool_case import ENGLISH
from tests.support.tutorial import DOCS, PAGES, Block, Command, blocks, commands, page, programs
from tests.support.twistd_process import LIMIT, DaemonTestCase
from tests.support.veth_pair import Cable

CHINESE = {**ENGLISH, "LANGUAGE": "zh_CN"}
"""The language without the locale, which the host may lack: the shell would report that."""
_PROMPT = "input the word: "
_SERVER = re.compile(r"twistd |python3 \w+_server\.py")
_READY = r"port 12345|listening on UDP .*:12345"


class TutorialTests(DaemonTestCase):
    """Type the commands of the pages, in a network namespace where port 12345 is free."""

    def setUp(self) -> None:
        super().setUp()
        self.need("nc", "setsid", "timeout")
        scripts = sysconfig.get_path("scripts")
        if not Path(scripts, "echotime").exists():
            self.skipTest("the tool echotime is not installed")
        if b"OpenBSD" not in subprocess.run(["nc", "-h"], capture_output=True, check=False).stderr:
            self.skipTest("nc is not that of OpenBSD")
        self.addCleanup(Cable().leave)
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.environment = {
            **os.environ,
            **ENGLISH,
            "PATH": f"{scripts}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "PYTHONPATH": str(DOCS.parent),
            "PYTHONUNBUFFERED": "1",
        }
        for name in PAGES:
            for program, source in programs(page(name)).items():
                (self.folder / program).write_text(source, encoding="utf-8")
        self.server: OnTerminal | None = None
        self.shown = ""

    def test_english(self) -> None:
        """Every command of the English pages has the output that they show."""
        for name in PAGES:
            self.type_all(blocks(page(name)))

    def test_chinese(self) -> None:
        """Every command of the Chinese pages has the output that they show, in Chinese."""
        self.environment.update(CHINESE)
        for name in PAGES:
            self.type_all(blocks(page(name, "zh_CN")))

    def test_demonstrations(self) -> None:
        """Every demonstration that the prose refers to behaves as described."""
        text = "".join(page(name) for name in PAGES)
        names = sorted(set(re.findall(r"`echotime explain (\w+)`", text)))
        self.assertGreater(len(names), 3)
        self.compare(Command(f"echotime explain {' '.join(names)}", ""), prompted=False)

    def type_all(self, page_blocks: list[Block]) -> None:
        """Type the commands of all console blocks in their order."""
        for block in page_blocks:
            if not block.info.startswith("console"):
                continue
            first, *others = commands(block)
            if block.info == "console no server" or _SERVER.match(first.line):
                self.end_server()
            if _SERVER.match(first.line):
                self.assertEqual(others, [])
                self.start_server(first)
                continue
            for command in (first, *others):
                self.compare(command, prompted=_PROMPT in self.shown)
        self.end_server()

    def start_server(self, command: Command) -> None:
        """Start a server on a terminal, and wait until it is ready."""
        line = f"cd {self.folder} && exec {command.line}"
        self.server = OnTerminal(["sh", "-c", line], self.environment)
        self.addCleanup(self.server.close)
        self.shown = command.output
        self.server.until(_READY)

    def end_server(self) -> None:
        """End the server, if one runs, and compare what its terminal showed."""
        if self.server is None:
            return
        self.server.child.terminate()
        self.server.end()
        self.assert_output(self.shown, self.server.shown.decode())
        self.server, self.shown = None, ""

    def compare(self, command: Command, *, prompted: bool) -> None:
        """Run a command, reply `ok` if the server prompts for a reply, and compare the output if the page shows it."""
        child = subprocess.Popen(
            ["sh", "-c", command.line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with child:
            try:
                if prompted:
                    assert self.server is not None
                    self.server.until(_PROMPT)
                    self.server.type(b"ok\n")
                output = child.communicate(timeout=3 * LIMIT)[0].decode()
            finally:
                child.kill()
        self.assertEqual(child.returncode, int("no answer" in command.output), f"{command.line}\n{output}")
        if command.output:
            self.assert_output(command.output, output)

    def assert_output(self, expected: str, output: str) -> None:
        """Compare output; `...` in the expected text stands for any text."""
        expected, output = (re.sub(r"\s*\n", "\n", text).strip() + "\n" for text in (expected, output))
        if not doctest.OutputChecker().check_output(expected, output, doctest.ELLIPSIS):
            self.assertEqual(output, expected)
