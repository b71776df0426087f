"""Test the real `twistd -n echotime` as a child process, with plain sockets and with programs of other projects."""
