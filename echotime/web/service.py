"""Build the HTTP listeners with the resources that they serve. Importing this module loads twisted.web."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService

from echotime.web.adopted import HTTPAddress
from echotime.web.guard import TOKEN_FRAGMENT, GuardPolicy
from echotime.web.listener import DescribeError, build_listeners
from echotime.web.root import build_root
from echotime.web.state import WebState
from echotime.wire.hostport import WILDCARDS, HostPort


class WebService(MultiService):
    """Run all HTTP listeners with one tree of resources and one token."""

    def __init__(
        self,
        state: WebState,
        addresses: Iterable[HTTPAddress],
        policy: GuardPolicy,
        describe_error: DescribeError,
        on_lost: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._policy = policy
        root = build_root(state, policy)
        self._listeners = list(build_listeners(addresses, root, state.reactor, describe_error, on_lost))
        for each in self._listeners:
            self.addService(each)

    def describe_access(self) -> dict[str, Any]:
        """Return the response to commands.Token: the token, links with it for TCP, and the paths of Unix sockets."""
        return {
            "token": self._policy.token,
            "links": [self._link(each) for each in self.addresses if isinstance(each, HostPort)],
            "sockets": [each for each in self.addresses if isinstance(each, str)],
        }

    @property
    def addresses(self) -> list[HostPort | str]:
        """Return the address of each listener, or the path of its Unix socket."""
        return [each.address for each in self._listeners]

    def _link(self, address: HostPort) -> str:
        """Return a link to the page. A browser cannot use a wildcard address, so it gets the name of this host."""
        if address.host in WILDCARDS:
            address = HostPort(self._policy.host_name, address.port)
        return f"http://{address}/{TOKEN_FRAGMENT}{self._policy.token}"


def build_web(
    state: WebState,
    addresses: Iterable[HTTPAddress],
    describe_error: DescribeError,
    on_lost: Callable[[str], object],
    *,
    public_metrics: bool,
) -> WebService:
    """Return the service that serves HTTP on all addresses, with a new token."""
    return WebService(state, addresses, GuardPolicy(public_metrics), describe_error, on_lost)
