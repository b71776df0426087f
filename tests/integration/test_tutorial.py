"""Run the programs and the commands of the tutorial against each other, the daemon and the tools."""

from __future__ import annotations

import itertools
import re

from tests.support.console_case import ConsoleCase
from tests.support.pty_child import OnTerminal
from tests.support.tool_case import ENGLISH
from tests.support.tutorial import PAGES, Block, Command, blocks, commands, page, programs
from tests.support.twistd_process import LIMIT

CHINESE = {**ENGLISH, "LANGUAGE": "zh_CN"}
"""The language without the locale, which the host may lack: the shell would report that."""
_FAILED = re.compile("^(no answer|没有应答)", re.MULTILINE)
_PROMPT = "input the word: "
_SERVER = re.compile(r"twistd |python3 \w+_server\.py")
_READY = r"(port|端口) 12345|listening on UDP .*:12345"


class TutorialTests(ConsoleCase):
    """Type the commands of the pages."""

    def setUp(self) -> None:
        super().setUp()
        self.server: OnTerminal | None = None
        self.shown = ""

    def test_english(self) -> None:
        """Every command of the English pages has the output that they show."""
        self.type_all("")

    def test_chinese(self) -> None:
        """Every command of the Chinese pages has the output that they show, in Chinese."""
        self.environment.update(CHINESE)
        self.type_all("zh_CN")

    def test_demonstrations(self) -> None:
        """Every demonstration that the prose refers to behaves as described."""
        text = "".join(page(name) for name in PAGES)
        names = sorted(set(re.findall(r"`echotime explain (\w+)`", text)))
        self.assertGreater(len(names), 3)
        self.compare(Command(f"echotime explain {' '.join(names)}", ""), prompted=False)

    def type_all(self, language: str) -> None:
        """Store the programs of the pages, and type the commands of all console blocks in their order."""
        pages = [page(name, language) for name in PAGES]
        for program, source in itertools.chain(*(programs(text).items() for text in pages)):
            (self.folder / program).write_text(source, encoding="utf-8")
        for text in pages:
            self.type_blocks(blocks(text))

    def type_blocks(self, page_blocks: list[Block]) -> None:
        """Type the commands of the console blocks of a page."""
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
        child = self.spawn(command.line)
        with child:
            try:
                if prompted:
                    assert self.server is not None
                    self.server.until(_PROMPT)
                    self.server.type(b"ok\n")
                output = child.communicate(timeout=3 * LIMIT)[0].decode()
            finally:
                child.kill()
        self.assertEqual(child.returncode, int(bool(_FAILED.search(command.output))), f"{command.line}\n{output}")
        if command.output:
            self.assert_output(command.output, output)
