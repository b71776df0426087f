"""Run the daemon with a port that SIGUSR2 makes hang or resume, for test_supervision.py and tests/systemd."""

import os
import signal

from twisted.application.service import Application
from twisted.internet import reactor

from echotime import tap
from echotime.daemon.listener_service import ListenerService
from echotime.config.options import DaemonOptions

options = DaemonOptions()
options.parseOptions([] if "ECHOTIME_OPTIONS" in os.environ else ["--tcp=127.0.0.1:0", "--udp=127.0.0.1:0"])
daemon = tap.build_daemon(options.settings, reactor)
(port,) = [
    each.port for each in daemon if isinstance(each, ListenerService) and each.transport == os.environ.get("ECHOTIME_HUNG", "udp")
]


def toggle():
    hung = port in reactor.getReaders()
    (port.stopReading if hung else port.startReading)()
    print("hung from now on" if hung else "well again", flush=True)


signal.signal(signal.SIGUSR2, lambda number, frame: reactor.callFromThread(toggle))
application = Application("echotime")
daemon.setServiceParent(application)
