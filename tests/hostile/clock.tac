"""Run the daemon at a chosen time: ECHOTIME_CLOCK names a file that holds its Unix time."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

from twisted.application.service import Application
from twisted.internet import reactor

from echotime import tap
from echotime.daemon import serving
from echotime.config.settings import Settings
from echotime.wire.hostport import HostPort
from echotime.wire.timestamp import Epoch

clock = Path(os.environ["ECHOTIME_CLOCK"])
serving.time = SimpleNamespace(time=lambda: float(clock.read_text(encoding="ascii")), monotonic=time.monotonic)
anywhere = (HostPort("127.0.0.1", 0),)
settings = Settings(tcp=anywhere, udp=anywhere, epoch=Epoch[os.environ["ECHOTIME_EPOCH"]])
application = Application("echotime")
tap.build_daemon(settings, reactor).setServiceParent(application)
