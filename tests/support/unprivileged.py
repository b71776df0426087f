"""Print as JSON which options an unprivileged process may set: ``python -m tests.support.unprivileged``."""

from __future__ import annotations

import json
import os
from gettext import gettext

from echotime.sockopt.apply import OptionError, apply
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.sockopt.option import Option
from echotime.sockopt.scratch import Scratch

_NOBODY = 65534


def main() -> None:
    """Print the errors for the example of each settable row (`free`) and of each privilege (`privileged`)."""
    gettext("its first use imports modules, which the unprivileged user may be unable to read")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    settable = [option for option in CATALOGUE if option.settable]
    free = {option.name: tried(option, option.example) for option in settable}
    privileged = {
        option.name: tried(option, *filter(None, [option.privilege.initial]), option.privilege.example)
        for option in settable
        if option.privilege
    }
    print(json.dumps({"free": free, "privileged": privileged}))


def tried(option: Option, *texts: str) -> str:
    """Set the values in order, and return the error of the last; empty if there is none."""
    *before, last = [Assignment(option, option.value_type.parse(text)) for text in texts]
    with Scratch(min(option.ip_versions)) as scratch:
        sock = scratch.open(option.transports[0])
        apply(sock, before)
        try:
            apply(sock, [last])
        except OptionError as failed:
            return failed.reason
        return ""


if __name__ == "__main__":
    main()
