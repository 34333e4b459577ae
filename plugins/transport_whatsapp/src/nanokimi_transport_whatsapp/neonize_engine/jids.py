"""Names of chats and people in the form that the library's calls take."""

from __future__ import annotations

from typing import Any

from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.neonize_engine.people import plain
from nanokimi_transport_whatsapp.neonize_engine.protos import happenings


def jid_of(name: str) -> Any:
    """Give the library's form of a chat or a person, without the device: the library refuses to send to one.

    Raises:
        EngineError: ``refused``: it is no name of WhatsApp's.
    """
    user, _, server = plain(name).rpartition("@")
    if not user:
        raise EngineError("refused", f"{name!r} is no chat of WhatsApp's")
    return happenings().JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False)


def no_jid() -> Any:
    """Give the library's form of nobody."""
    return happenings().JID(User="", Server="", RawAgent=0, Device=0, Integrator=0, IsEmpty=True)


def server_of(name: str) -> str:
    """Give what stands after the ``@``."""
    return name.rpartition("@")[2]
