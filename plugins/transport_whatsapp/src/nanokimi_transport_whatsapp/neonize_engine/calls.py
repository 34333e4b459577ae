"""The library's calls: each is let in by the guard, and its errors are judged."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from neonize.exc import NeonizeError
from neonize.utils.enum import ChatPresence, ChatPresenceMedia, ClientName, ClientType, MediaType, Presence, ReceiptType

from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.neonize_engine.errors import judged, of_call, of_file, of_sending
from nanokimi_transport_whatsapp.neonize_engine.files import Shown
from nanokimi_transport_whatsapp.neonize_engine.guard import Guard
from nanokimi_transport_whatsapp.neonize_engine.jids import jid_of as jid
from nanokimi_transport_whatsapp.neonize_engine.jids import no_jid, server_of
from nanokimi_transport_whatsapp.neonize_engine.people import GROUP, HIDDEN, PHONE, named
from nanokimi_transport_whatsapp.neonize_engine.words import name as fit_name

MOST_MEMBERS = 1024
"""Of a group whose people are named; WhatsApp lets no more in."""

_KINDS = {
    "image": MediaType.MediaImage,
    "video": MediaType.MediaVideo,
    "voice": MediaType.MediaAudio,
    "audio": MediaType.MediaAudio,
    "document": MediaType.MediaDocument,
}


class Calls:
    """What can be asked of the library.

    Args:
        client: neonize's ``NewClient`` of a session.
        guard: Whether it may be called now.
    """

    def __init__(self, client: Any, guard: Guard) -> None:
        self._client, self._guard = client, guard

    @contextmanager
    def _entered(
        self, judge: Callable[[str], EngineError] = of_call, needed: Literal["codes", "connected"] = "connected"
    ) -> Iterator[Any]:
        with self._guard.entered(needed), judged(judge, NeonizeError):
            yield self._client

    def send(self, chat: str, message: Any) -> str:
        """Send a message; give the id that the server took it under."""
        with self._entered(of_sending) as client:
            network_id: str = client.send_message(jid(chat), message).ID
        if not network_id:
            raise EngineError("unknown", "the library answered without an id")
        return network_id

    def upload(self, data: bytes, shown: Shown) -> Any:
        """Bring a file to the media server; give what a message must say of it."""
        with self._entered(of_file) as client:
            return client.upload(data, _KINDS[shown])

    def download(self, message: Any) -> bytes:
        """Bring the file of a message."""
        with self._entered(of_file) as client:
            data: bytes = client.download_any(message)
        return data

    def show_typing(self, chat: str, on: bool) -> None:
        """Show that the account writes in a chat, or that it stopped."""
        state = ChatPresence.CHAT_PRESENCE_COMPOSING if on else ChatPresence.CHAT_PRESENCE_PAUSED
        with self._entered() as client:
            client.send_chat_presence(jid(chat), state, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT)

    def show_online(self, on: bool) -> None:
        """Show the account as online, or as away."""
        with self._entered() as client:
            client.send_presence(Presence.AVAILABLE if on else Presence.UNAVAILABLE)

    def mark_read(self, chat: str, sender: str, network_id: str) -> None:
        """Tell that a message was read; the sender counts in groups only."""
        who = jid(sender) if server_of(chat) == GROUP else no_jid()
        with self._entered() as client:
            client.mark_read(network_id, chat=jid(chat), sender=who, receipt=ReceiptType.READ)

    def members(self, group: str, without: Container[str]) -> list[str]:
        """Name the people in a group: what they call themselves where that is known, and their number."""
        with self._entered() as client:
            people = client.get_group_info(jid(group)).Participants[:MOST_MEMBERS]
        named_people = [[name for name in map(named, (one.LID, one.PhoneNumber, one.JID)) if name] for one in people]
        return [self._told(names) for names in named_people if not any(name in without for name in names)]

    def _told(self, names: list[str]) -> str:
        phone = next((name for name in names if server_of(name) == PHONE), "")
        shown = f"+{phone.partition('@')[0]}" if phone else next(iter(names), "?")
        called = next((called for called in map(self._called, dict.fromkeys(names)) if called), "")
        return f"{called} ({shown})" if called else shown

    def _called(self, name: str) -> str:
        try:
            with self._entered() as client:
                contact = client.contact.get_contact(jid(name))
        except EngineError:
            return ""
        return fit_name(contact.FullName or contact.PushName or contact.BusinessName) if contact.Found else ""

    def other_name(self, who: str) -> str:
        """Give the phone number of a hidden id, or the reverse, from what the session knows; empty where it doesn't."""
        with self._entered() as client:
            if server_of(who) == HIDDEN:
                return named(client.get_pn_from_lid(jid(who)))
            return named(client.get_lid_from_pn(jid(who))) if server_of(who) == PHONE else ""

    def device(self) -> bytes:
        """Give the account, as the bytes of a ``Device``."""
        with self._entered() as client:
            data: bytes = client.get_me().SerializeToString()
        return data

    def pair(self, phone: str) -> str:
        """Ask for a code to type on the phone. The server only takes known browsers and systems for the device."""
        with self._entered(needed="codes") as client:
            code: str = client.PairPhone(phone, True, ClientName.LINUX, ClientType.CHROME)
        return code

    def logout(self) -> None:
        """Log out on the server, and forget the account."""
        with self._entered() as client:
            client.logout()
