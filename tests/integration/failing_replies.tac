"""Run the daemon with a reply source that fails as no real one should, for test_memory.py."""

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from zope.interface import implementer

from echotime import tap
from echotime.daemon import shutdown
from echotime.config.settings import Settings
from echotime.wire.hostport import HostPort
from echotime.services.replies import IReplySource

shutdown.GRACE_PERIOD = 1.0


@implementer(IReplySource)
class FailingReplies:
    """Run out of memory for `memory`; also keep the daemon from stopping in order for `stuck`."""

    def reply_to(self, message, peer):
        if message == b"memory":
            raise MemoryError
        if message == b"stuck":
            reactor.addSystemEventTrigger("before", "shutdown", Deferred)
            raise MemoryError
        return b"now"


anywhere = (HostPort("127.0.0.1", 0),)
settings = Settings(tcp=anywhere, udp=anywhere, drain_timeout=3600)
application = Application("echotime")
tap.build_daemon(settings, reactor, FailingReplies()).setServiceParent(application)
