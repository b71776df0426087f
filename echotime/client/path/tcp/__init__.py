"""The tests of `echotime path` over TCP, one in each module, and what they share."""
