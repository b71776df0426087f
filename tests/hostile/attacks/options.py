"""Count the socket options that are known, can be read live, and are explained; a figure, not an attack."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.hostile.daemons import Daemons, control
from tests.hostile.figures import Figure, exactly
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_exactly
from tests.support.tool_case import TOOL, environment
from tests.support.twistd_process import LIMIT


def by_name(daemons: Daemons) -> Iterator[Figure]:
    """Socket options: an option that cannot be set, read and explained by name is left at its default."""
    command = [*TOOL, "sockopts", "--json"]
    listed = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True, env=environment({})).stdout
    rows = json.loads(listed)
    live = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "control")
        ipv6 = ("--tcp", "[::1]:0", "--udp", "[::1]:0")
        with daemons.start(*ipv6, "--control", str(path)) as daemon:
            for number in (0, 1):
                with connect(daemon.address("TCP", number)) as sock:
                    sock.sendall(b"hi")
                    read_exactly(sock, len(b"hi" + ACKNOWLEDGEMENT))
                    for target in ("tcp", "udp", str(number + 1)):
                        live |= {row["name"] for row in control(path, "sockopts", target, "all")}
    yield Figure("settable", sum(row["settable"] for row in rows), least=55)
    yield Figure("readable on live sockets", len(live), least=70)
    yield exactly("explained", sum(bool(row["meaning"]) for row in rows), len(rows))
