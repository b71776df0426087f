"""Log under one fixed namespace, so that renaming a class or module never changes the log.

twisted.logger derives the namespace of a class attribute from the class. `twistd -n` prints the namespace as
``[echotime#info]``, and the journal has it in ECHOTIME_LOGGER.
"""

from __future__ import annotations

import twisted.logger

NAMESPACE = "echotime"


class Logger(twisted.logger.Logger):
    """A Logger whose namespace does not depend on the class that it is an attribute of."""

    def __init__(self) -> None:
        super().__init__(NAMESPACE)

    def __get__(self, instance: object, owner: object = None) -> Logger:
        return self
