"""The daemon with a source of words that fails as no source should: for test_faults.py."""

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from zope.interface import implementer

from echotime import tap
from echotime.daemon import stopping
from echotime.config.settings import Settings
from echotime.wire.hostport import HostPort
from echotime.services.replies import IReplySource

stopping.GRACE_PERIOD = 1.0


@implementer(IReplySource)
class OddWords:
    """Out of memory for `memory`; for `stuck` the daemon cannot stop, and must."""

    constant = None

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
tap.build_daemon(settings, reactor, OddWords()).setServiceParent(application)
