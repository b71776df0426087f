"""What `twistd` finds: the daemon, and the reactor it runs on (`twistd -r echotime`). Imports nothing of echotime."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker(  # noqa: N816 - a plugin's conventional name
    "echotime", "echotime.tap", "TCP echo-with-reply and UDP time server.", "echotime"
)
reactor = Reactor("echotime", "echotime.reactor", "epoll(7) with a changelist, monotonic time (Linux).")
