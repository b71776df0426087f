"""A daemon for test suites: the pytest fixture `echotime_peer`, and what it is made of."""
