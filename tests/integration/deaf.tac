"""The daemon with a port that SIGUSR2 makes deaf, and the next one well again: for test_supervision.py and tests/systemd."""

import os
import signal

from twisted.application.service import Application
from twisted.internet import reactor

from echotime import tap
from echotime.daemon.listeners import Listener
from echotime.daemon.options import Options

options = Options()
options.parseOptions(os.environ.get("ECHOTIME_OPTIONS", "--tcp 127.0.0.1:0 --udp 127.0.0.1:0").split())
daemon = tap.daemon(options.settings, reactor)
(port,) = [
    each.port for each in daemon if isinstance(each, Listener) and each.transport == os.environ.get("ECHOTIME_DEAF", "udp")
]


def toggle():
    deaf = port in reactor.getReaders()
    (port.stopReading if deaf else port.startReading)()
    print("deaf from now on" if deaf else "well again", flush=True)


signal.signal(signal.SIGUSR2, lambda number, frame: reactor.callFromThread(toggle))
application = Application("echotime")
daemon.setServiceParent(application)
