"""Which listeners there are for what was asked: one for each address, and for each socket that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from echotime.daemon.activation import Activation, NotPassed
from echotime.daemon.failure import start_failed
from echotime.daemon.listeners import Listener
from echotime.daemon.settings import Address, Passed
from echotime.ports.adopted import WrongDescriptor


def listeners(
    transport: str,
    where: Iterable[Address | Passed],
    port: partial[Any],
    served: Callable[[], Any],
    activation: Activation,
    failed: Callable[[str], object],
) -> Iterator[Listener]:
    """Of a transport, none of them open yet; by kind come those passed in that no name takes.

    `port` makes the port, which serves what `served` makes; `failed` is told if one is lost. Raises StartFailed.
    """
    for each in sorted(where, key=lambda one: isinstance(one, Passed) and one.name is None):
        if isinstance(each, Address):
            yield Listener(transport, each, port(each.port, served(), interface=each.host), failed)
            continue
        try:
            for descriptor in activation.take(transport, each):
                adopted = port.func.adopt(descriptor.number, served(), **port.keywords)  # type: ignore[attr-defined]
                address = Address(adopted.interface, adopted.port)
                yield Listener(transport, address, adopted, failed, f"passed in as {descriptor}")
        except NotPassed as error:
            raise start_failed(str(error), logged=False) from None
        except WrongDescriptor as error:
            raise start_failed(f"--{transport} {each}: {error}", logged=False) from None
