"""What `twistd` finds: the name of the daemon and of the module that makes it. Imports nothing of echotime."""

from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker(  # noqa: N816 - a plugin's conventional name
    "echotime", "echotime.tap", "TCP echo-with-reply and UDP time server.", "echotime"
)
