"""A transport for WhatsApp: an account that is linked like a second device, through neonize in a child process."""

from __future__ import annotations

from nanokimi_core import Spec, Transport, hookimpl
from nanokimi_transport_whatsapp.checks import check
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.transport import WhatsApp

__all__ = ["Settings", "WhatsApp", "nanokimi_transports"]

COMMANDS = "nanokimi_transport_whatsapp.commands:app"


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    """Name the transport that this distribution provides."""
    return [Spec("whatsapp", WhatsApp, config=Settings, check=check, commands=COMMANDS)]
