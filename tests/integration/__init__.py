"""Tests of the real `twistd -n echotime` as a child process, by plain sockets and by the world's own programs."""
