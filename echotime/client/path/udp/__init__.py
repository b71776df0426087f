"""The tests of `echotime path` over UDP, one in each module, and what they share."""
