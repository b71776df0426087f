"""Test the Chinese of the tools: no English left, full-width punctuation, and one word for each thing."""

from __future__ import annotations

import ast
import functools
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from echotime.cli.main import COMMANDS
from echotime.control import daemon_text
from echotime.demos.index import DEMONSTRATIONS, TOPICS
from echotime.sockopt import assignment
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.terminal.columns import wrap
from echotime.wire import connection_end
from echotime.wire.escape import display_width
from tests.support.tutorial import PAGES, page

ROOT = Path(__file__).parents[2]
PAGE_TEXTS = ROOT / "echotime/web/static/language.js"
CATALOGUE_FILE = ROOT / "echotime/i18n/zh_CN/LC_MESSAGES/echotime.po"
_HAN = r"[\u3400-\u9fff]"
_HALF_WIDTH = re.compile(rf"{_HAN}[,:;?!()]|{_HAN} \(|[,:;?!] ?{_HAN}|[()]{_HAN}")
_PROGRAM = re.compile(r"^(?:echotime|%\(prog\)s)[a-z ]*: ")
"""The name of the program before an error, as other programs print it in every language."""

ORIGINAL = {
    *("输入服务器ip:", "输入服务器地址:", "输入要发送的信息:", "等待回复……"),
    *("连接来自: {peer}", "连接来自:{peer}"),
    "echotime: {server}：回复错误，{size} 字节：{text}（可能是：{kind}）",
}
"""Wording of the original scripts, which is kept."""

GLOSSARY = {
    "应答 (reply)": r"回复|答复|回应|(?<!没有)(?<!无)(?<!不再)(?<!未)响应",
    "回显 (echo)": "回声|回送|回射",
    "半关闭 (half-close)": "半关(?!闭)|单向关闭",
    "复位 (RST)": "重置|重設|重设",
    "接收队列 (receive queue)": "收包队列|接受队列|全连接队列",
    "侦听 (listen)": "监听|倾听|聆听",
    "网卡 (interface)": "网络接口|(?<!回环)接口",
    "对端 (peer)": "对方|对等方|对等端|远端|远程端",
    "确认 (acknowledgement)": "确收|应答确认|回执",
    "保活 (keepalive)": "心跳|存活探测|保持连接",
    "消息 (question)": "提问|待答(?!应)",
    "数据流 (stream)": "字节流",
    "转义序列 (escape)": "转义(?!序列|字符)",
    "同时使用 (combined)": "同用|一起使用",
}
"""The word for each thing, and a pattern of the others."""

_CODE = re.compile(r"`[^`]*`|\b\w+\([^)]*\)|b'[^']*'|echotime explain \w+")
_ENGLISH = re.compile(r"\b[a-z]{2,} [a-z]{2,}\b")
_ALIASES = re.compile(r"(?:Python|systemd\.socket|socat)\s[\w.=-]+")


def translations() -> list[str]:
    """Return all translated texts but those of the original scripts."""
    with CATALOGUE_FILE.open("rb") as source:
        return [str(entry.string) for entry in read_po(source) if entry.id and str(entry.string) not in ORIGINAL]


def page_texts() -> list[str]:
    """Return the Chinese texts of the page for operators."""
    table = PAGE_TEXTS.read_text(encoding="utf-8").partition("\n};\n")[0]
    return re.findall(r'":\s+"([^"]+)"', table)


def prose(name: str) -> str:
    """Return a Chinese page without its programs, their output and addresses; the output of the tools stays."""
    text = page(name, "zh_CN").replace("等待回复……", "")
    return re.sub(r"^```python.*?^```$|\]\([^)]*\)", "", text, flags=re.MULTILINE | re.DOTALL)


_EACH = """
import sys
from echotime.cli.main import build_parser
for args in map(str.split, sys.argv[1:]):
    try:
        arguments = build_parser().parse_args(args)
        arguments.run(None, arguments).send(None)
    except (SystemExit, StopIteration):
        pass
"""
"""Run command lines, which are arguments, in one process."""


@functools.cache
def run_all(*commands: str) -> str:
    """Return what `echotime` prints in Chinese for all command lines."""
    completed = subprocess.run(
        [sys.executable, "-c", _EACH, *commands],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "zh_CN.UTF-8", "LANGUAGE": "zh_CN", "PYTHONUTF8": "1", "COLUMNS": "10000"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in completed.stderr, completed.stderr.decode()
    assert completed.stdout
    return completed.stdout.decode()


def explain(*names: str) -> str:
    """Return what `echotime explain` prints in Chinese."""
    return run_all(f"explain {' '.join(names)}")


def refusals() -> Iterator[str]:
    """Yield an example of each reason why the daemon refuses a command: of the literal texts, and of sockopt/."""
    for path in sorted((ROOT / "echotime/control").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in {"CommandError", "amp.RemoteAmpError"} or (
                path.name == "peer.py" and isinstance(node, ast.Return)
            ):
                yield from filter(None, map(example_of, ast.iter_child_nodes(node)))
    for option in CATALOGUE:
        for text in (f"{option.name}=\1", f"{option.name}=9999999999999999999", f"{option.name}X=1"):
            try:
                assignment.parse(text)
            except ValueError as error:
                yield str(error)
    for text in ("x", "zzzz=1", "1:x=1", "1:99999999999=1", "SO_DEBUG=1", "udp:TCP_NODELAY=1"):
        with pytest.raises(ValueError, match=r"\w") as caught:
            assignment.parse(text)
        yield str(caught.value)


def example_of(node: ast.AST) -> str:
    """Return a text with its fields filled in, or an empty string if this is no text of several words."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(each.value) if isinstance(each, ast.Constant) else "X" for each in node.values)
    else:
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return text if re.search(r"[a-z]+ [a-z]+", text) else ""


def half_width(line: str) -> list[str]:
    """Return half-width punctuation beside Chinese characters."""
    return _HALF_WIDTH.findall(_PROGRAM.sub("", line))


def test_full_width_punctuation() -> None:
    """No translation has half-width punctuation beside a Chinese character."""
    assert len(page_texts()) > len(GLOSSARY)
    assert [text for text in (*translations(), *page_texts()) if half_width(text)] == []


def test_examples_of_faults() -> None:
    """The patterns find what they are for."""
    assert half_width("超时, 放弃")
    assert half_width("继承: 是")
    assert half_width("连接 (已建立)")
    assert not half_width("echotime: 超时，放弃（recv(100)）")
    assert re.search(GLOSSARY["应答 (reply)"], "待回复")
    assert not re.search(GLOSSARY["应答 (reply)"], "服务器没有响应")


@pytest.mark.parametrize(("word", "others"), GLOSSARY.items(), ids=[word.split()[1] for word in GLOSSARY])
def test_glossary(word: str, others: str) -> None:
    """The catalogue, the page and the tutorial have one word for each thing."""
    assert [text for text in (*translations(), *page_texts()) if re.search(others, text)] == [], word
    for name in PAGES:
        assert [line for line in prose(name).splitlines() if re.search(others, line)] == [], word


def test_explain_is_chinese() -> None:
    """`echotime explain` prints no English words but code, and full-width punctuation beside Chinese."""
    lines = explain(*TOPICS, *DEMONSTRATIONS).splitlines()
    assert [line for line in lines if _ENGLISH.search(_ALIASES.sub("", _CODE.sub("", line)))] == []
    assert [line for line in lines if half_width(line)] == []


def test_help_is_chinese() -> None:
    """The help has full-width punctuation beside Chinese, in its headings, too, and so have tables and reports."""
    names = [each.__name__.rpartition(".")[2] for each in COMMANDS]
    helps = [f"{'control' if name == 'subcommand' else name} --help" for name in names]
    lines = run_all("--help", *helps, "sockopts", "sockopts TCP_INFO SO_ACCEPTCONN", "send --sockopt help").splitlines()
    assert "位置参数：" in lines
    assert [line for line in lines if half_width(line)] == []
    assert [line for line in lines if re.search(r"\( |\byes\b| pending", line)] == []


def test_line_ends() -> None:
    """No line of a wrapped translation ends with an opening bracket, or begins with closing punctuation."""
    for text, width in itertools.product(translations(), range(60, 66)):
        lines = list(wrap(text, "", "", width))
        assert not [line for line in lines[:-1] if line[-1] in "（“「【《("], lines
        assert not [line for line in lines[1:] if line[0] in "）”」】》，。；：！？、…)"], lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("数据报不等待确认（关闭）", ["数据报不等待", "确认（关闭）"]),
        ("数据报只由一个接收。UDP 没有", ["数据报只由一", "个接收。UDP", "没有"]),
        ("其中使用 UDP；的一些", ["其中使用", "UDP；的一些"]),
        ("其中使用的UDP的一些", ["其中使用的UDP", "的一些"]),
    ],
)
def test_line_breaks(text: str, lines: list[str]) -> None:
    """A line may end between Chinese and Latin text, but not after an opening bracket."""
    assert list(wrap(text, "", "", 13)) == lines


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """`echotime control` shows every reason why the daemon refuses a command in Chinese."""
    use_chinese(monkeypatch)
    found = set(refusals())
    assert len(found) > len(CATALOGUE)
    shown = {text: daemon_text.translate(text) for text in found}
    ascii_only = re.compile(r"--[a-z-]+|'[^']*'|\([a-z.=]+\)")
    assert {text: line for text, line in shown.items() if not re.search(_HAN, line)} == {}
    assert {text: line for text, line in shown.items() if _ENGLISH.search(ascii_only.sub("", line))} == {}
    assert {text: line for text, line in shown.items() if half_width(line)} == {}


def test_columns() -> None:
    """Translated calls of the demonstrations fit their column."""
    for line in explain(*TOPICS, *DEMONSTRATIONS).splitlines():
        if found := re.match(r"    (\S.*\S)  +\S", line):
            assert display_width(found[1]) < 64, line


def test_every_row_has_chinese() -> None:
    """The text of every option contains Chinese characters once it is translated."""
    with CATALOGUE_FILE.open("rb") as source:
        translated = read_po(source)
    for option in CATALOGUE:
        for text in filter(None, (option.meaning, option.use, option.caveat)):
            entry = translated.get(text)
            assert entry is not None, text
            assert re.search(_HAN, str(entry.string)), text


def use_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `echotime control` translate the texts of a daemon into Chinese."""
    with CATALOGUE_FILE.open("rb") as source:
        translated = {str(entry.id): str(entry.string) for entry in read_po(source)}
    monkeypatch.setattr(daemon_text, "_", lambda message: translated.get(message, message))


def test_ends_of_connections() -> None:
    """The names of ends, which the daemon's modules and `echotime path` share, are among the translated texts."""
    ends = {text for name, text in vars(connection_end).items() if name.startswith("BY_")}
    assert ends
    assert ends <= set(daemon_text.TEXTS)


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("connection 1", "连接 1"),
        ("root (pid 4168)", "root（pid 4168）"),
        ("LISTEN, 0 pending, limit 16", "LISTEN，待接受 0，上限 16"),
        ("question 3: there is no such question", "消息 3：没有该编号的消息"),
        (
            "TCP 0.0.0.0:12345: SO_MARK=1: Operation not permitted (EPERM); needs CAP_NET_ADMIN",
            "TCP 0.0.0.0:12345：SO_MARK=1：不允许的操作（EPERM）；所需权限：CAP_NET_ADMIN",
        ),
        ("No such device (ENODEV); existing interfaces: lo, eth0", "没有该设备（ENODEV）；现有网卡：lo、eth0"),
        (
            "cannot listen on TCP 127.0.0.1:7: Address already in use (EADDRINUSE): another socket holds the port; "
            "find it: ss -antup 'sport = :7'",
            "无法侦听 TCP 127.0.0.1:7：地址已在使用（EADDRINUSE）：另一个套接字占用了该端口；"
            "可用此命令查找：ss -antup 'sport = :7'",
        ),
        (
            "cannot listen on UDP [::]:7: Address already in use (EADDRINUSE): this daemon itself serves UDP [::1]:7",
            "无法侦听 UDP [::]:7：地址已在使用（EADDRINUSE）：该守护进程自身已在提供 UDP [::1]:7 服务",
        ),
        (
            "'x' is neither a port nor ADDRESS:PORT; expected PORT, *:PORT, ADDRESS:PORT or [IPv6]:PORT",
            "'x' 既不是端口，也不是 ADDRESS:PORT；应为 PORT、*:PORT、ADDRESS:PORT 或 [IPv6]:PORT",
        ),
        ("idle timeout", "空闲超时"),
        ("reset at the idle timeout", "复位：空闲超时"),
        ("answered by root@example", "由 root@example 应答"),
        ("synchronized, maximum error 0.012 s", "已同步，最大误差 0.012 秒"),
        ("the kernel does not keep it; warning: each answer is delayed", "内核不保留它；警告：each answer is delayed"),
        ("a text of a later version", "a text of a later version"),
        ("", ""),
    ],
)
def test_texts_of_the_daemon(monkeypatch: pytest.MonkeyPatch, text: str, chinese: str) -> None:
    """English texts of a daemon are shown in Chinese by `echotime control`."""
    use_chinese(monkeypatch)
    assert daemon_text.translate(text) == chinese
