"""``make install`` and ``make uninstall``: the Python that runs this is the one that the daemon will have.

Standard library only. pip is asked for echotime and what it requires, and takes settings of its own from the
environment: without a network PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER, with wheels of all that in it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import interpreter
import systemd
from installation import Installation
from places import Impossible, Places


def main() -> None:
    """Carry it out; the exit status is 1 with a line that says why."""
    args = _arguments().parse_args()
    places = Places(
        prefix=args.prefix,
        destdir=args.destdir,
        sysconfdir=args.sysconfdir,
        unitdir=args.unitdir or args.prefix / "lib/systemd/system",
        zshdir=args.zshdir or args.prefix / "share/zsh/site-functions",
    )
    os.umask(0o022)
    try:
        (_install if args.verb == "install" else _uninstall)(places, args)
    except Impossible as why:
        sys.exit(f"make {args.verb}: {why}")
    except OSError as error:
        sys.exit(f"make {args.verb}: {error.filename}: {error.strerror}")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="install", description="Install echotime, or remove it.")
    parser.add_argument("verb", choices=["install", "uninstall"])
    parser.add_argument("--prefix", type=_absolute, default=Path("/usr/local"))
    parser.add_argument(
        "--destdir", type=_root, default=Path("/"), help="what stands before all paths while a package is made"
    )
    parser.add_argument("--sysconfdir", type=_absolute, default=Path("/etc"))
    parser.add_argument("--unitdir", type=_absolute, help="default: PREFIX/lib/systemd/system")
    parser.add_argument("--zshdir", type=_absolute, help="default: PREFIX/share/zsh/site-functions")
    parser.add_argument(
        "--bare", action="store_true", help="without bytecode and cache, which a package makes in its place"
    )
    return parser


def _absolute(text: str) -> Path:
    """What is relative would be so to the source tree."""
    if not Path(text).is_absolute():
        raise argparse.ArgumentTypeError(f"'{text}' is no absolute path; expected one, as in /usr/local")
    return Path(text)


def _root(text: str) -> Path:
    """An empty DESTDIR is none."""
    return _absolute(text or "/")


def _install(places: Places, args: argparse.Namespace) -> None:
    interpreter.check()
    installation = Installation(places)
    again = installation.exists
    installation.install(bare=args.bare)
    if systemd.runs(places):
        systemd.reload()
        if again:
            print("what runs goes on as it was, until: systemctl restart echotime")
        else:
            print("to have it run, now and after each boot: systemctl enable --now echotime.socket echotime.service")


def _uninstall(places: Places, _args: argparse.Namespace) -> None:
    installation = Installation(places)
    if not installation.exists:
        print(f"nothing of echotime is installed below {places.prefix}")
        return
    if systemd.runs(places):
        systemd.stop(places)
    installation.uninstall()
    if systemd.runs(places):
        systemd.reload()


main()
