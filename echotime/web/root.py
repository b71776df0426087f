"""Build the tree of resources. The guard is in front of all of them."""

from __future__ import annotations

from twisted.web.http import NOT_FOUND, Request
from twisted.web.resource import IResource, Resource

from echotime.web.guard import GuardPolicy
from echotime.web.health_pages import LIVE, READY, HealthPage
from echotime.web.metrics import MetricsResource
from echotime.web.responses import TextResource
from echotime.web.state import WebState

_NOT_FOUND = TextResource(NOT_FOUND, "not found")


class Root(Resource):
    """Ask the guard before each request.

    getChild would not do: it is not called for children that putChild added.
    """

    def __init__(self, policy: GuardPolicy) -> None:
        super().__init__()
        self._policy = policy

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Return the resource for the first element of a path, or the guard's refusal."""
        if refusal := self._policy.refusal(path, request):
            return TextResource(refusal.status, refusal.reason)
        return super().getChildWithDefault(path, request)  # type: ignore[no-any-return]

    def getChild(self, path: bytes, request: Request) -> IResource:
        return _NOT_FOUND


def build_root(state: WebState, policy: GuardPolicy) -> Root:
    """Return the resource for ``/``, with everything below."""
    root = Root(policy)
    root.putChild(b"metrics", MetricsResource(state))
    root.putChild(b"livez", HealthPage(state, LIVE))
    root.putChild(b"readyz", HealthPage(state, READY))
    return root
