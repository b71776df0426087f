"""Tests of one module at a time; the network, where there is any, is loopback port 0."""
