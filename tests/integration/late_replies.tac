"""Run the daemon with a reply source that is as slow as a person; ECHOTIME_CONTROL names a control socket."""

import os

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from zope.interface import implementer

from echotime import tap
from echotime.config.settings import Settings
from echotime.wire.hostport import HostPort
from echotime.services.replies import IReplySource


@implementer(IReplySource)
class LateReplies:
    """Reply late to `slow`, never to `never`, wrongly to some messages, and at once to all others."""

    def reply_to(self, message, peer):
        if message == b"slow":
            return deferLater(reactor, 2, lambda: b"late")
        if message == b"fail":
            return fail(RuntimeError("no reply"))
        if message == b"raise":
            raise RuntimeError("no source")
        if message == b"none":
            return None
        if message == b"text":
            return "text"
        if message == b"never":
            return Deferred(lambda reply: print("reply to never cancelled", flush=True))
        return b"now"


anywhere = (HostPort("127.0.0.1", 0),)
control = os.environ.get("ECHOTIME_CONTROL")
settings = Settings(tcp=anywhere, udp=anywhere, drain_timeout=4, control=control)
application = Application("echotime")
tap.build_daemon(settings, reactor, LateReplies()).setServiceParent(application)
