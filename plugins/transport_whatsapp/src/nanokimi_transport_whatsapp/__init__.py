"""A transport for WhatsApp: an account that is linked like a second device, through neonize in a child process."""

from __future__ import annotations

from nanokimi_transport_whatsapp.settings import Settings

__all__ = ["Settings"]
