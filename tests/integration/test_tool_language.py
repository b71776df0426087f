"""Test the languages of the tools."""

from __future__ import annotations

from tests.support.tool_case import CHINESE, ToolTestCase


class LanguageTests(ToolTestCase):
    """Choose English or Chinese by the environment."""

    def test_help(self) -> None:
        """The help of every subcommand is translated, and shows an example."""
        for command in ("send", "time", "ping", "check"):
            self.assertIn(b"Example: echotime", self.tool(command, "--help").stdout)
            chinese = self.tool(command, "--help", language=CHINESE).stdout.decode()
            self.assertIn("\u4f8b\uff1aechotime", chinese)
            self.assertIn("显示本帮助并退出", chinese)

    def test_variables(self) -> None:
        """LC_ALL overrides LC_MESSAGES, which overrides LANG; an unknown language is English."""
        refused = self.closed_port()
        for extra, expected in (
            ({"LC_ALL": "zh_CN.UTF-8"}, "连接被拒绝"),
            ({"LC_ALL": "", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "C"}, "连接被拒绝"),
            ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}, "连接被拒绝"),
            ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "connection refused"),
            ({"LC_ALL": "xx_XX.UTF-8"}, "connection refused"),
            ({"LC_ALL": "en_US.UTF-8", "LANGUAGE": "zh_CN"}, "连接被拒绝"),
            ({"LC_ALL": "C", "LANGUAGE": "zh_CN"}, "connection refused"),
            ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "POSIX", "LANGUAGE": "zh_CN"}, "connection refused"),
        ):
            ended = self.tool("send", "--quiet", refused, "x", language=extra)
            self.assertIn(expected, ended.stderr.decode(), extra)

    def test_terminal_without_the_characters(self) -> None:
        """A terminal whose encoding lacks the characters gets them escaped, without a traceback."""
        ended = self.tool("time", self.closed_port(), language={"LC_ALL": "zh_CN.UTF-8", "PYTHONIOENCODING": "ascii"})
        self.assertEqual(ended.returncode, 3)
        self.assertIn(rb"\u8fde\u63a5\u88ab\u62d2\u7edd", ended.stderr)
