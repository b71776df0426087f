"""Test what an operator sees and does on the page, in a real browser."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from tests.browser.browser_case import NARROW, PICTURE, TOKEN, WIDE, BrowserTestCase
from tests.support.plain_clients import read_exactly
from tests.support.stepping_reactor import reset

ACK = b"\nI get it!\n"
MAX_SHOWN = 200
"""Questions that the page shows at a time."""
HOSTILE = b"<img src=x onerror=\"document.title='owned'\">\x00\xff\r\n\xe2\x80\xae"


class PageTests(BrowserTestCase):
    """Use the page with one daemon and its clients."""

    def test_connection_and_message(self) -> None:
        """A connection and its message appear within a second, as text, whatever bytes they have."""
        page = self.open()
        client = self.client()
        client.sendall(HOSTILE)
        page.wait_for_selector("#events li:has-text('<img src=x')", timeout=1000)
        page.wait_for_selector("#rows tr", timeout=1000)
        self.assertIn("127.0.0.1", page.inner_text("#rows"))
        self.assertIn("\\x00\\xff\\r\\n\\u202e", page.inner_text("#events"))
        self.assertEqual(page.locator("#events img").count(), 0)
        self.assertEqual(page.title(), "echotime")
        self.assert_no_faults()

    def test_reply(self) -> None:
        """A reply typed in the browser reaches the client byte for byte, and everybody sees who answered."""
        page, other = self.open(), self.open()
        for each in (page, other):
            each.click("#present")
            each.wait_for_selector("#present[aria-pressed=true]")
        self.wait_for_fact(page, "Operators", "2")
        client = self.client()
        client.sendall(HOSTILE)
        for each in (page, other):
            each.wait_for_selector("#questions li:has-text('<img src=x')", timeout=1000)
        page.keyboard.type("grüß \\n 你好")  # the reply has the focus
        page.keyboard.press("Enter")
        expected = HOSTILE + ACK + "grüß \\n 你好".encode()
        self.assertEqual(read_exactly(client, len(expected)), expected)
        for each in (page, other):
            each.wait_for_selector("#settled li:has-text('answered by page: 127.0.0.1')")
            self.assertEqual(each.locator("#questions li").count(), 0)
        self.assert_no_faults()

    def test_many_questions(self) -> None:
        """At most 200 questions are shown. Each that is settled makes room for one that was left out."""
        self.start_daemon("--max-questions-per-source", "1000")
        page = self.open()
        page.click("#present")
        self.wait_for_fact(page, "Operators", "1")
        clients = [self.client() for _ in range(MAX_SHOWN + 3)]
        for number, client in enumerate(clients, 1):
            message = b"q%d" % number
            client.sendall(message)
            self.assertEqual(read_exactly(client, len(message + ACK)), message + ACK)
        self.wait_for_fact(page, "Pending questions", str(len(clients)))
        shown = page.locator("#questions li")
        self.assertEqual(shown.count(), MAX_SHOWN)
        reset(clients[-1])  # one of those left out
        page.wait_for_selector("#settled li")
        for number in (1, 2):
            page.keyboard.type("x")
            page.keyboard.press("Enter")
            page.wait_for_selector(f"#questions li:has-text('q{MAX_SHOWN + number}')")
            self.assertEqual(shown.count(), MAX_SHOWN)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#questions:not(:has(li:nth-child({MAX_SHOWN})))")
        self.assert_no_faults()

    def test_watching_keeps_nobody_waiting(self) -> None:
        """A page that only watches is no operator, so a client gets its answer at once."""
        self.open()
        client = self.client()
        client.sendall(b"hello")
        self.assertEqual(read_exactly(client, 5 + len(ACK)), b"hello" + ACK)

    def test_socket_options(self) -> None:
        """An option is explained, set on a listener, and read back."""
        page = self.open()
        page.check("#all")
        page.click("#sockopts button:text-is('SO_KEEPALIVE')")
        page.wait_for_selector("#explanation h3:has-text('SO_KEEPALIVE')")
        page.fill("#assignment", "SO_KEEPALIVE=on")
        page.press("#assignment", "Enter")
        page.wait_for_selector("#set-result:has-text('SO_KEEPALIVE=on')")
        page.fill("#assignment", "SO_KEEPALIVE=maybe")
        page.press("#assignment", "Enter")
        page.wait_for_selector("#set-result:has-text('is not a switch')")
        # a browser logs each response of status 400
        self.faults = [fault for fault in self.faults if "400" not in fault]
        self.assert_no_faults()

    def test_too_many_options(self) -> None:
        """The page says that it does not show all options, because the daemon sends 1000 at a time."""
        row = {"socket": "TCP", "name": "SO_KEEPALIVE", "requested": "", "effective": "off", "note": ""}
        page = self.open()
        page.route("**/api/sockopts?*names=all*", lambda route: route.fulfill(json={"rows": [row], "more": True}))
        page.check("#all")
        page.wait_for_selector("#set-result:text-is('only the first 1 are shown')")
        self.assert_no_faults()

    def test_late_responses(self) -> None:
        """A response that comes after that of a later choice does not replace it."""
        page = self.open()
        client = self.client()
        client.sendall(b"x")
        held: list[Any] = []

        def hold(route: Any) -> None:
            held.append(route)

        late = ("sockopts?target=udp", "explain?name=SO_RCVBUF", "connections?sort=peer")
        for each in late:
            page.route(f"**/api/{each}*", hold)
        page.check("#all")
        page.wait_for_selector("#sockopts tr:has-text('TCP_DEFER_ACCEPT')")
        page.click("#sockopts button:text-is('SO_RCVBUF')")
        page.click("#sockopts button:text-is('SO_KEEPALIVE')")
        page.wait_for_selector("#explanation h3:text-is('SO_KEEPALIVE')")
        page.select_option("#target", "udp")
        page.select_option("#target", "tcp")
        page.click("#column-peer button")
        page.click("#column-age button")
        page.wait_for_selector("#column-age[aria-sort]")
        self.assertEqual(len(held), len(late))
        for route in held:
            body = {"rows": [], "total": 77} if "connections" in route.request.url else route.fetch().json()
            with page.expect_event("requestfinished", lambda request, url=route.request.url: request.url == url):
                route.fulfill(json=body)
        page.evaluate("new Promise(requestAnimationFrame)")
        self.assertIn("TCP", page.inner_text("#sockopts"))
        self.assertEqual(page.inner_text("#explanation h3"), "SO_KEEPALIVE")
        self.assertNotIn("77", page.inner_text("#shown"))
        self.assert_no_faults()

    def test_reset(self) -> None:
        """A connection is reset from its row."""
        page = self.open()
        client = self.client()
        client.sendall(b"x")
        read_exactly(client, 1 + len(ACK))
        page.click("#rows button:text-is('Reset')")
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        page.wait_for_selector('#events li:has-text("operator\'s reset")')
        self.assert_no_faults()

    def test_token(self) -> None:
        """Without a token the page shows nothing of the daemon. The token is not left in the address bar."""
        page = self.open()
        self.assertEqual(page.url, self.url)
        page.reload()
        page.wait_for_selector("#link.good")
        self.assert_no_faults()
        page = self.open(token="")
        page.wait_for_selector("#link.bad:has-text('expected Authorization')")
        self.assertEqual(page.inner_text("#facts"), "")

    def test_rates(self) -> None:
        """The rates of messages and datagrams appear. SCREENSHOTS=DIRECTORY keeps the picture of the README."""
        page = self.open(size=PICTURE, token=TOKEN)
        clients = [self.client() for _ in range(6)]
        host, port = self.daemon.address("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for number in range(40):
                for client in clients[: 1 + number % 6]:
                    client.sendall(b"hello, can you hear me?")
                    read_exactly(client, 23 + len(ACK))
                udp.sendto(b"", (host, port))
                page.wait_for_timeout(100)
        for title in ("messages/s", "datagrams/s"):
            page.wait_for_selector(f"#plots figcaption:has-text('{title}: '):not(:text-is('{title}: 0'))")
        page.click("#present")
        self.wait_for_fact(page, "Operators", "1")
        for client in clients[:2]:
            client.sendall(b"Is <b>this thing</b> on?")
        page.wait_for_selector("#questions li:nth-child(2)")
        self.wait_for_fact(page, "Pending questions", "2")
        if directory := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(directory) / "page.png")
        self.assert_no_faults()

    def test_languages_and_widths(self) -> None:
        """Both languages fit a narrow and a wide window, dark and light; SCREENSHOTS=DIRECTORY keeps pictures."""
        client = self.client()
        client.sendall(b"how are you? " * 30)
        for language in ("en", "zh-CN"):
            for size in (NARROW, WIDE):
                scheme = "dark" if size == NARROW else "light"
                page = self.open(size=size, locale=language, color_scheme=scheme)
                page.click("#present")
                page.check("#all")
                another = self.client()
                another.sendall(b"a-long-word-without-a-space" * 12)
                page.wait_for_selector("#questions li")
                page.wait_for_selector("#sockopts tr:nth-child(20)")
                page.wait_for_selector("#rows tr")
                page.wait_for_selector("#plots figcaption:has-text('0')")
                self.assert_fits(page)
                self.assertEqual("概况" in page.inner_text("main"), language == "zh-CN")
                if directory := os.environ.get("SCREENSHOTS"):
                    path = Path(directory) / f"page-{language}-{size[0]}.png"
                    page.screenshot(path=path, full_page=True)
                page.close()
        self.assert_no_faults()
