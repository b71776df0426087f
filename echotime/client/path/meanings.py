"""Say what each finding means, and what usually does it."""

from __future__ import annotations

from typing import NamedTuple

from echotime.sockopt.values import N_


class Meaning(NamedTuple):
    """Hold texts that are translated when they are shown."""

    means: str
    cause: str


_NOT_THE_CLIENT = N_("The server sees another client: access lists, limits and logs there count by that address.")
_TERMINATED = N_("a proxy or load balancer that ends the connection and makes its own; or a NAT")
_MARKS = N_("a router at the edge of a network, which resets the marks of other networks; or a proxy")

MEANINGS = {
    "accept-only": Meaning(
        N_("A handshake is no sign of a service: nothing behind it answers."),
        N_(
            "a proxy whose servers are down; a firewall that answers SYNs itself; a server that hangs, whose kernel "
            "accepts; a slow server, or one of another protocol that waits for the client; an access list or "
            "connection limit of the server; or a server that expects a PROXY header"
        ),
    ),
    "echo-incomplete": Meaning(
        N_("The server echoes, and part of the echo is missing or late."),
        N_(
            "an operator who has not replied: what this command sent waits for the reply; a slow server; or a proxy "
            "that buffers"
        ),
    ),
    "client-address-translated": Meaning(_NOT_THE_CLIENT, N_("NAT (masquerading), or a proxy")),
    "client-port-translated": Meaning(
        N_("The connection that the server sees is not the client's own."), N_("a proxy on the server's host; or a NAT")
    ),
    "server-address-translated": Meaning(
        N_("The server that answers has another address or port than the one that was asked."),
        N_("destination NAT, as of a port forwarding, kube-proxy or a container; or a proxy or load balancer"),
    ),
    "via-proxy": Meaning(
        N_("The server knows the client's address from a PROXY header. The connection itself ends at the proxy."),
        N_("a proxy or load balancer with the PROXY protocol"),
    ),
    "syn-mss-clamped": Meaning(
        N_("Segments are smaller than both ends would make them."),
        N_("MSS clamping on a tunnel, VPN or PPPoE link; or a proxy with another MTU"),
    ),
    "syn-mss-raised": Meaning(
        N_("The server may send segments that the client's link cannot carry without fragmentation."), _TERMINATED
    ),
    "syn-option-removed": Meaning(
        N_("The connection does without the option: SACK and window scale for speed, timestamps, Fast Open or MPTCP."),
        N_("a firewall that normalizes TCP; a proxy that does not use the option itself; or SYN cookies"),
    ),
    "syn-option-added": Meaning(N_("The SYN that arrives is not the one that was sent."), _TERMINATED),
    "syn-dscp-changed": Meaning(N_("Quality of service by DSCP does not work end to end."), _MARKS),
    "syn-ecn-removed": Meaning(N_("ECN is not negotiated: congestion shows by loss only."), _MARKS),
    "syn-ttl-changed": Meaning(
        N_("The TTL says nothing about the number of routers."),
        N_("a firewall or tunnel that sets the TTL; or a proxy"),
    ),
    "half-close-cut": Meaning(
        N_("A client that sends all and half-closes loses the rest of the answer."),
        N_("a proxy that closes both directions with the first one: nginx needs proxy_half_close on"),
    ),
    "half-close-lost": Meaning(
        N_("One end does not learn that the other has sent all."),
        N_("a proxy that keeps the half-close to itself; or TLS or HTTP in between"),
    ),
    "late-reply-lost": Meaning(
        N_("What the server sends some time after the client's half-close is lost."),
        N_(
            "a proxy that answers the half-close itself, or waits only briefly: nginx needs proxy_half_close on, "
            "Traefik a longer terminationDelay, HAProxy a longer timeout client-fin"
        ),
    ),
    "reset-to-client-as-fin": Meaning(
        N_("A FIN is no sign that the server has sent everything: a failure looks like a regular end."),
        N_("a proxy; HAProxy, nginx and Traefik do so"),
    ),
    "reset-to-client-lost": Meaning(
        N_("The client does not learn that the server has reset the connection, and waits."),
        N_("a firewall that drops RSTs; or a proxy that keeps the connection"),
    ),
    "reset-to-server-as-fin": Meaning(
        N_("To the server, a client that failed looks like one that has sent all."),
        N_("a proxy; nginx and Traefik do so"),
    ),
    "reset-to-server-lost": Meaning(
        N_("The server keeps connections whose client is gone, until a timeout or keepalive."),
        N_("a proxy that keeps the server's connection; or a firewall that drops RSTs"),
    ),
    "data-changed": Meaning(
        N_("The bytes that arrive are not those that were sent."),
        N_("a proxy or firewall that rewrites a protocol (ALG); a PROXY header taken for data; or no echo server"),
    ),
    "data-cut": Meaning(
        N_("The connection ends, or stalls, before all data has passed."),
        N_("a limit on bytes or time in a proxy or firewall; a path MTU problem; or a reset of the server"),
    ),
    "data-in-lumps": Meaning(
        N_("Small messages wait for others: each takes up to a delayed ACK longer, about 40 ms to 200 ms."),
        N_("a proxy without TCP_NODELAY (Nagle's algorithm), or one that buffers"),
    ),
    "idle-closed": Meaning(
        N_("Idle connections are ended, and both ends learn of it."),
        N_("the idle timeout of a proxy or load balancer; or of the server, if it has no --behave"),
    ),
    "idle-dropped": Meaning(
        N_("Idle connections stop working, and the ends learn of it only from a timeout. Keepalive prevents it."),
        N_("a stateful firewall or NAT, which forgets idle connections"),
    ),
    "udp-unanswered": Meaning(N_("UDP does not pass."), N_("a firewall; or a proxy or NAT that forwards TCP only")),
    "udp-refused": Meaning(
        N_("UDP does not pass, and an ICMP error says so."),
        N_("a firewall that rejects; or a proxy or NAT that forwards TCP only"),
    ),
    "udp-other-address": Meaning(
        N_("Clients reject the answer, as it does not come from the address that they asked."),
        N_("a server with several addresses that answers from the wrong one; or an incomplete NAT"),
    ),
    "udp-client-address-translated": Meaning(_NOT_THE_CLIENT, N_("NAT (masquerading), or a proxy")),
    "udp-client-port-translated": Meaning(
        N_("The datagrams that the server sees are not the client's own."), N_("a proxy on the server's host; or a NAT")
    ),
    "udp-server-address-translated": Meaning(
        N_("The server that answers has another address or port than the one that was asked."),
        N_("destination NAT, as of a port forwarding, kube-proxy or a container; or a proxy or load balancer"),
    ),
    "udp-dscp-changed": Meaning(N_("Quality of service by DSCP does not work end to end."), _MARKS),
    "udp-ecn-changed": Meaning(N_("Protocols over UDP, such as QUIC, cannot use ECN."), _MARKS),
    "udp-ttl-changed": Meaning(
        N_("The TTL says nothing about the number of routers."),
        N_("a firewall or tunnel that sets the TTL; or a proxy"),
    ),
    "udp-empty-lost": Meaning(
        N_("A time request by RFC 868, which is empty, is not answered."),
        N_("a proxy that drops empty datagrams, as Traefik and Envoy before 1.40"),
    ),
    "udp-lost": Meaning(N_("Datagrams or their answers are lost."), N_("congestion, a rate limit, or a bad link")),
    "udp-duplicated": Meaning(
        N_("One datagram has several answers."), N_("a bridge loop, a bonded link, or a capture that sends again")
    ),
    "udp-reordered": Meaning(
        N_("Datagrams overtake each other within one flow."), N_("load balancing packet by packet over several links")
    ),
    "udp-size-lost": Meaning(
        N_("Datagrams that fit this host's link do not arrive, or their answers do not."),
        N_("a smaller MTU on the way and lost ICMP errors; or a proxy with a smaller buffer"),
    ),
    "udp-fragments-lost": Meaning(
        N_("Datagrams above the MTU, which are fragmented, do not arrive."),
        N_("a firewall or NAT that drops fragments; or a proxy with a smaller buffer"),
    ),
    "udp-truncated": Meaning(N_("Datagrams arrive shorter than they were sent."), N_("a proxy with a smaller buffer")),
    "udp-port-lost": Meaning(
        N_("Some source ports never get an answer: a client fails whenever it happens to use one of them."),
        N_(
            "one faulty link or server behind load balancing by ports (ECMP, LACP); or a full table of connections "
            "(conntrack) in a firewall or NAT"
        ),
    ),
}
