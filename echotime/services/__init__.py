"""The TCP and UDP services as Twisted protocols and factories, independent of sockets."""
