"""Build the tree of resources. The guard is in front of all of them."""

from __future__ import annotations

from twisted.web.resource import IResource
from twisted.web.server import Request

from echotime.web.api import build_api
from echotime.web.guard import GuardPolicy
from echotime.web.health_pages import LIVE, READY, HealthPage
from echotime.web.metrics import MetricsResource
from echotime.web.page import build_page, build_static
from echotime.web.responses import API_NAME, Folder, Refused
from echotime.web.state import WebState


class Root(Folder):
    """Ask the guard before each request.

    getChild would not do: it is not called for children that putChild added.
    """

    def __init__(self, policy: GuardPolicy) -> None:
        super().__init__()
        self._policy = policy

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Return the resource for the first element of a path, or the guard's refusal."""
        if refusal := self._policy.refusal(path, request):
            return Refused(refusal.status, refusal.reason)
        return super().getChildWithDefault(path, request)  # type: ignore[no-any-return]


def build_root(state: WebState, policy: GuardPolicy) -> Root:
    """Return the resource for ``/``, with everything below."""
    root = Root(policy)
    root.putChild(b"", build_page())
    root.putChild(b"static", build_static())
    root.putChild(API_NAME, build_api(state))
    root.putChild(b"metrics", MetricsResource(state))
    root.putChild(b"livez", HealthPage(state, LIVE))
    root.putChild(b"readyz", HealthPage(state, READY))
    return root
