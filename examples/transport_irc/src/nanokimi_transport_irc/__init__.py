"""A transport for IRC: channels and queries on one server."""

from __future__ import annotations

from nanokimi_core import Spec, Transport, hookimpl
from nanokimi_transport_irc.settings import Settings
from nanokimi_transport_irc.transport import Irc

__all__ = ["Irc", "Settings", "nanokimi_transports"]


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    """Name the transport that this distribution provides."""
    return [Spec("irc", Irc, config=Settings)]
