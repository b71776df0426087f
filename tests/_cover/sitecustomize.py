"""Keep the coverage data of twistd children; on their path only under `make coverage`.

twistd ends by sending itself its signal again with the default action. That skips the interpreter's exit and
coverage's last write, so the data is written just before.
"""

import os

if os.environ.get("COVERAGE_PROCESS_CONFIG"):
    import coverage

    _kill = os.kill

    def kill(pid: int, number: int) -> None:
        """Save the coverage data, then call os.kill()."""
        measured = coverage.Coverage.current()
        if pid == os.getpid() and measured is not None:
            measured.stop()
            measured.save()
        _kill(pid, number)

    os.kill = kill
