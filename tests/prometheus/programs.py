"""Run Prometheus and its exporters with the files of etc/prometheus, beside daemons of a test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.balancers.balancers import Address, free_address
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT

FILES = Path(__file__).parents[2] / "etc" / "prometheus"
_INSTALL = "apt install prometheus prometheus-blackbox-exporter prometheus-node-exporter"


class PrometheusTestCase(ToolTestCase):
    """Skip tests of a program that is not installed, or fail if it must be."""

    programs: tuple[str, ...]

    def setUp(self) -> None:
        for program in self.programs:
            if shutil.which(program) is None:
                reason = f"{program} is not installed: {_INSTALL}"
                if "ECHOTIME_ALL_PROMETHEUS" in os.environ:
                    self.fail(reason)
                self.skipTest(reason)
        folder = tempfile.TemporaryDirectory(prefix="echotime-prometheus-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_program(self, *command: str, stdin: bytes = b"") -> str:
        """Run a program to its end, which must be a success, and return its output."""
        ended = subprocess.run(command, input=stdin, capture_output=True, timeout=LIMIT, check=False, cwd=self.folder)
        output = (ended.stdout + ended.stderr).decode()
        self.assertEqual(ended.returncode, 0, output)
        return output

    def start_program(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program that ends with the test, and return its process."""
        # if the tests are killed, the kernel ends the program
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.addCleanup(_end, process)
        return process

    def adapted(self, name: str, replacements: dict[str, str]) -> str:
        """Copy a file of etc/prometheus with the addresses of the test, and return the path of the copy."""
        text = (FILES / name).read_text(encoding="utf-8")
        for documented, actual in replacements.items():
            self.assertIn(documented, text)
            text = text.replace(documented, actual)
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def start_node_exporter(self, folder: Path) -> Address:
        """Start a node_exporter that serves the .prom files of a folder, and nothing of the machine."""
        address = free_address()
        self.start_program(
            "prometheus-node-exporter",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={folder}",
            "--web.listen-address={}:{}".format(*address),
        )
        return address

    def start_prometheus(
        self, tcp: Address, http: Sequence[Address], nodes: Sequence[Address], changes: dict[str, str]
    ) -> Prometheus:
        """Start blackbox_exporter, and a Prometheus that scrapes it, daemons and node_exporters every second.

        `changes` has further replacements in its configuration.
        """
        exporter, prometheus = free_address(), free_address()
        self.start_program(
            "prometheus-blackbox-exporter",
            f"--config.file={self.adapted('blackbox.yml', {})}",
            "--web.listen-address={}:{}".format(*exporter),
        )
        self.adapted("echotime.rules.yml", {})
        # the test need not wait until a target that is down is more than a lost datagram
        self.adapted("echotime.fleet.rules.yml", {"for: 3m": "for: 1s"})
        targets = {
            f'["127.0.0.1:{port}"]': json.dumps(["{}:{}".format(*each) for each in actual])
            for port, actual in (("9180", http), ("12345", [tcp]), ("9100", nodes))
        }
        replaced = {"replacement: 127.0.0.1:9115": "replacement: {}:{}".format(*exporter)}
        path = self.adapted("prometheus.yml", {**targets, **replaced, **changes, "interval: 15s": "interval: 1s"})
        process = self.start_program(
            "prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--web.listen-address={}:{}".format(*prometheus),
        )
        return Prometheus(process, prometheus, self.folder / "prometheus.log")


class Prometheus:
    """Query a Prometheus that runs."""

    def __init__(self, process: subprocess.Popen[bytes], address: Address, log: Path) -> None:
        self._process = process
        self._url = "http://{}:{}/api/v1/".format(*address)
        self._log = log

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a response of the HTTP API."""
        url = f"{self._url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=LIMIT) as response:
            return json.load(response)["data"]

    def query(self, expression: str, **parameters: str) -> list[float]:
        """Return the values of an expression."""
        return [float(each["value"][1]) for each in self.get("query", query=expression, **parameters)["result"]]

    def labeled(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of an expression by the values of these labels."""
        result = self.get("query", query=expression)["result"]
        return {tuple(each["metric"].get(name, "") for name in labels): float(each["value"][1]) for each in result}

    def wait_for(self, expression: str, condition: Callable[[list[float]], object] = bool) -> list[float]:
        """Wait until an expression has values that meet the condition, and return them. Fail if Prometheus ends."""
        deadline = time.monotonic() + LIMIT
        values: list[float] = []
        while time.monotonic() < deadline:
            with suppress(OSError):  # it does not listen yet
                values = self.query(expression)
                if condition(values):
                    return values
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
                break
        raise AssertionError(f"{expression}: {values}\n{self._log.read_text(encoding='utf-8', errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with all its processes."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(LIMIT)
