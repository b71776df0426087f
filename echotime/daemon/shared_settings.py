"""Apply the settings of what all listeners share, at the start and at a reload: log, replies, networks, UDP rate."""

from __future__ import annotations

from dataclasses import dataclass

from echotime.config.settings import DEFAULT_UDP_RATE, Settings
from echotime.limits.access import AccessList
from echotime.limits.source import is_loopback
from echotime.limits.udp_rate import RateLimit
from echotime.operators.presence import PresenceSwitch
from echotime.operators.reply_queue import QueueLimits, ReplyQueue
from echotime.services.echo_factory import EchoFactory
from echotime.services.replies import IReplySource
from echotime.services.traffic import TrafficLog


@dataclass(frozen=True)
class SharedSettings:
    """Hold the parts of the daemon that all listeners share.

    `presence` is None without a reply queue, or if `custom_replies` replaces it.
    """

    traffic: TrafficLog
    factory: EchoFactory
    rate_limit: RateLimit
    reply_queue: ReplyQueue | None
    presence: PresenceSwitch | None
    custom_replies: IReplySource | None

    def apply(self, settings: Settings) -> None:
        """Apply all of these settings."""
        self.apply_log(settings)
        self.apply_proxies(settings)
        self.apply_replies(settings)
        self.apply_udp_rate(settings)

    def apply_log(self, settings: Settings) -> None:
        """Apply what is logged, and how much of it."""
        self.traffic.set_message_rate(settings.log_message_rate)
        self.traffic.log_empty = "empty" in settings.log_also
        self.traffic.datagrams.set_rate(settings.log_message_rate if "datagrams" in settings.log_also else 0)
        if self.reply_queue is not None:
            self.reply_queue.set_log_rate(settings.log_message_rate)

    def apply_replies(self, settings: Settings) -> None:
        """Apply acknowledgement, reply, and the limits of the reply queue."""
        if self.presence is None:
            self.factory.set_reply(settings.acknowledgement, self.custom_replies, settings.reply)
        else:
            self.presence.configure(settings.acknowledgement, settings.reply)
        self.factory.quiet_factory.set_reply(settings.acknowledgement, None, settings.reply)
        if self.reply_queue is not None:
            limits = QueueLimits(
                settings.max_questions,
                settings.max_questions_per_source,
                settings.reply_deadline,
                settings.wait_for_operator,
            )
            self.reply_queue.configure(settings.reply, limits)

    def apply_proxies(self, settings: Settings) -> None:
        """Apply the networks of load balancers and of health checkers."""
        self.factory.proxies = AccessList.only(settings.proxy_protocol)
        self.factory.quiet_networks = AccessList.only(settings.quiet)

    def apply_udp_rate(self, settings: Settings) -> None:
        """Apply the rate limit of UDP responses."""
        if settings.udp_rate is None:
            self.rate_limit.set_rate(DEFAULT_UDP_RATE, is_loopback)
        else:
            self.rate_limit.set_rate(settings.udp_rate)
