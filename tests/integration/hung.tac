"""Run the daemon with a port that SIGUSR2 makes hang or resume, for test_supervision.py and tests/systemd.

ECHOTIME_HUNG is the transport. With `:unregistered` only the kernel knows that nothing waits for the port.
"""

import os
import signal

from twisted.application.service import Application
from twisted.internet import reactor

from echotime import tap
from echotime.daemon.ports.listener_service import ListenerService
from echotime.config.options import DaemonOptions

options = DaemonOptions()
options.parseOptions([] if "ECHOTIME_OPTIONS" in os.environ else ["--tcp=127.0.0.1:0", "--udp=127.0.0.1:0"])
daemon = tap.build_daemon(options.settings, reactor)
transport, _, unregistered = os.environ.get("ECHOTIME_HUNG", "udp").partition(":")
(port,) = [each.port for each in daemon if isinstance(each, ListenerService) and each.transport == transport]


def toggle():
    hung = port in reactor.getReaders()
    if unregistered:
        reactor._poller.unregister(port.fileno())
    else:
        (port.stopReading if hung else port.startReading)()
    print("hung from now on" if hung else "well again", flush=True)


signal.signal(signal.SIGUSR2, lambda number, frame: reactor.callFromThread(toggle))
application = Application("echotime")
daemon.setServiceParent(application)
