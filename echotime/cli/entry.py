"""The console script `echotime`. Ctrl-C ends it as it ends other programs, from the first moment on.

So this module imports nothing that takes time.
"""

import signal


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    from echotime.cli.main import main as run

    run()
