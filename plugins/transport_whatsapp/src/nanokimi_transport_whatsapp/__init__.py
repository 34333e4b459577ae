"""A transport for WhatsApp: an account that is linked like a second device, through neonize in a child process.

The child imports this package too, and needs little of it: the transport is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanokimi_core import Spec, Transport, hookimpl

if TYPE_CHECKING:
    from nanokimi_transport_whatsapp.settings import Settings
    from nanokimi_transport_whatsapp.transport import WhatsApp

__all__ = ["Settings", "WhatsApp", "nanokimi_transports"]

COMMANDS = "nanokimi_transport_whatsapp.terminal.commands:app"


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    """Name the transport that this distribution provides."""
    from nanokimi_transport_whatsapp.settings import Settings
    from nanokimi_transport_whatsapp.terminal.checks import check
    from nanokimi_transport_whatsapp.transport import WhatsApp

    return [Spec("whatsapp", WhatsApp, config=Settings, check=check, commands=COMMANDS)]


if not TYPE_CHECKING:  # a type checker would take a module's __getattr__ for any name at all

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for home, exported in (("settings", "Settings"), ("transport", "WhatsApp")):
            if name == exported:
                return getattr(import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
