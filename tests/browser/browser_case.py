"""Provide a test case with a daemon that serves the page, and Debian's chromium, driven by Playwright."""

from __future__ import annotations

import socket
import unittest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.plain_clients import connect
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
TOKEN = "token-of-the-test"
FIXED_TOKEN = f"import secrets; secrets.token_urlsafe = lambda size: {TOKEN!r}"
"""Python for the daemon's process, which makes its token known."""
NARROW, WIDE, PICTURE = (360, 740), (1920, 1080), (1280, 860)


class BrowserTestCase(DaemonTestCase):
    """Open the page in a browser. A test fails if the page logs an error or requests anything from another host."""

    python = FIXED_TOKEN
    browser: Any

    @classmethod
    def setUpClass(cls) -> None:
        if not CHROMIUM.exists():
            raise unittest.SkipTest("chromium is not installed")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise unittest.SkipTest("Playwright is not installed; make test-browser installs it") from None
        driver = sync_playwright().start()
        cls.addClassCleanup(driver.stop)
        cls.browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self) -> None:
        self.faults: list[str] = []
        self.daemon = self.start_daemon()

    def start_daemon(self, *args: str) -> Twistd:
        """Start a daemon that serves the page, and set `url` and `address`."""
        daemon = self.echotime("--http", "127.0.0.1:0", "--http-public-metrics", *args)
        self.address = daemon.address("TCP")
        self.url = f"http://{daemon.line('listening on HTTP (.*)')[1]}/"
        return daemon

    def open(self, *, size: tuple[int, int] = WIDE, token: str = TOKEN, **options: Any) -> Any:
        """Open the page and wait until its event stream is open. Errors on its console fail the test."""
        width, height = size
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)
        self.addCleanup(context.close)
        context.set_default_timeout(1000 * LIMIT)
        page = context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("request", lambda request: self._on_request(request.url))
        page.goto(self.url + (f"#token={token}" if token else ""))
        if token:
            page.wait_for_selector("#link.good")
        return page

    def _on_console(self, line: Any) -> None:
        if line.type in {"error", "warning"}:
            self.faults.append(f"console: {line.text}")

    def _on_request(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            self.faults.append(f"request to {url}")

    def wait_for_fact(self, page: Any, name: str, value: str) -> None:
        """Wait until a fact of the overview has a value."""
        page.wait_for_selector(f"#facts dt:text-is('{name}') + dd:text-is('{value}')")

    def assert_no_faults(self) -> None:
        """Assert that the page logged no error and asked no other host."""
        self.assertEqual(self.faults, [])

    def assert_fits(self, page: Any) -> None:
        """Assert that the page is not wider than its window."""
        widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        self.assertLessEqual(*widths)

    def client(self) -> socket.socket:
        """Return a connection to the echo service."""
        sock = connect(self.address)
        self.addCleanup(sock.close)
        return sock
