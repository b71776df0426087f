"""Log one line for each event, under one fixed namespace.

With a fixed namespace, renaming a class or module never changes the log: twisted.logger derives the namespace of a
class attribute from the class. `twistd -n` prints it as ``[echotime#info]``, and the journal has it in ECHOTIME_LOGGER.
"""

from __future__ import annotations

from typing import Any

import twisted.logger

from echotime.wire.escape import sanitize

NAMESPACE = "echotime"


class Logger(twisted.logger.Logger):
    """A Logger whose namespace does not depend on the class that it is an attribute of.

    Texts in an event are sanitized: names of interfaces, users and sockets come from outside the process.
    """

    def __init__(self) -> None:
        super().__init__(NAMESPACE)

    def __get__(self, instance: object, owner: object = None) -> Logger:
        return self

    def emit(self, level: Any, format: str | None = None, **kwargs: object) -> None:
        texts = {name: sanitize(value) for name, value in kwargs.items() if isinstance(value, str)}
        super().emit(level, format, **{**kwargs, **texts})
