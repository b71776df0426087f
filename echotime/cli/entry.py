"""Start the console script `echotime`.

This module imports nothing slow, so that Ctrl-C ends the program without a traceback from the first moment.
"""

import signal


def main() -> None:
    """Restore the default signal handlers, and run the command line. No exception is shown as a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    from echotime.cli.output import last_handler

    last_handler.install()
    from echotime.cli.main import main as run

    run()
