"""Keeps the coverage data of twistd children; on their path only under `make coverage`.

twistd ends by sending itself its signal again with the default action, which skips the interpreter's exit
and with it coverage's last write: so it is written just before.
"""

import os

if os.environ.get("COVERAGE_PROCESS_CONFIG"):
    import coverage

    _kill = os.kill

    def kill(pid: int, number: int) -> None:
        """Save what was measured, then os.kill."""
        measured = coverage.Coverage.current()
        if pid == os.getpid() and measured is not None:
            measured.stop()
            measured.save()
        _kill(pid, number)

    os.kill = kill
