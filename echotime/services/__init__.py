"""Both services as Twisted protocols and factories, which know transports but no sockets."""
