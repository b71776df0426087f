"""Start the console script `twistd-echotime`: twistd, with one line for each fault of twistd's own options."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.application import app
from twisted.python.usage import UsageError
from twisted.python.util import gidFromString, uidFromString
from twisted.scripts._twistd_unix import ServerOptions
from twisted.scripts.twistd import runApp

from echotime.errors import exit_with_usage_errors, twistd_name


def _parser(option: str, parse: Callable[[str], int], expected: str) -> Callable[[str], int]:
    """Return `parse`, which ends the process with status 2 for a faulty value."""

    def coerce(text: str) -> int:
        try:
            return parse(text)
        except (KeyError, ValueError):
            exit_with_usage_errors(f"--{option} {text}: {expected}")

    return coerce


def _umask(text: str) -> int:
    mask = int(text, 8)
    if not 0 <= mask <= 0o777:
        raise ValueError
    return mask


class TwistdOptions(ServerOptions):
    """Parse twistd's options. A fault ends the process with status 2. twistd itself prints its help or a traceback."""

    optParameters = [
        ["uid", "u", None, "The uid to run as.", _parser("uid", uidFromString, "there is no such user")],
        [
            *("gid", "g", None, "The gid to run as. By default that of the user of --uid."),
            _parser("gid", gidFromString, "there is no such group"),
        ],
        [
            *("umask", None, None, "The (octal) file creation mask to apply."),
            _parser("umask", _umask, "expected an octal number up to 777, as in 027"),
        ],
    ]

    def getSynopsis(self) -> str:
        return f"Usage: {twistd_name()} [options]"

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except UsageError as error:
            exit_with_usage_errors(str(error))

    def postOptions(self) -> None:
        super().postOptions()
        is_default_file = self["file"] is self.defaults["file"]
        if self.subCommand is None and self["python"] is None and self["source"] is None and is_default_file:
            exit_with_usage_errors(f"the word echotime is missing: {twistd_name()} -n echotime ...")


def main() -> None:
    """Run twistd on the command line of this process."""
    app.run(runApp, TwistdOptions)
