"""Run a command as a service manager that passes sockets would: ``socket_activation.py N NAMES COMMAND...``.

The descriptors 3 to 2+N are already open. LISTEN_PID is the number of this process, which the command replaces.
"""

import os
import sys

number, names, *command = sys.argv[1:]
os.environ.update(LISTEN_FDS=number, LISTEN_PID=str(os.getpid()))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execvp(command[0], command)
