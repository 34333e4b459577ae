"""Who and where: WhatsApp's names of chats and people, without their devices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from nanokimi_transport_whatsapp.neonize_engine.words import name, said
from nanokimi_transport_whatsapp.values import Who

PHONE, HIDDEN, GROUP = "s.whatsapp.net", "lid", "g.us"

_PASSED_OVER = frozenset({"broadcast", "newsletter"})
_SAME = {"c.us": PHONE, "hosted": PHONE, "hosted.lid": HIDDEN}
"""Other servers of the same people: the old name, and the devices that WhatsApp itself keeps for a business."""

_WRITTEN = re.compile(r"([0-9A-Za-z_-]{1,64})(?:\.[0-9]{1,3})?(?::[0-9]{1,5})?@([a-z.]{1,32})")


def plain(written: Any) -> str:
    """Give ``user@server`` of a name as it is written, with or without agent and device; empty where it is none."""
    parts = _WRITTEN.fullmatch(said(written))
    return f"{parts[1]}@{_SAME.get(parts[2], parts[2])}" if parts else ""


def named(jid: Any) -> str:
    """Give ``user@server`` of the library's JID; empty where it is none."""
    return plain(f"{said(jid.User)}@{said(jid.Server)}")


def is_person(who: str) -> bool:
    """Whether a plain name is that of a person."""
    return who.endswith((f"@{PHONE}", f"@{HIDDEN}"))


def who(jid: Any, other: Any, pushed: str = "") -> Who:
    """Give a person from the two names that an event has of them.

    Raises:
        ValueError: The first is none.
    """
    canonical, alias = named(jid), "" if other is None else named(other)
    if not canonical:
        raise ValueError("this event names no chat, or nobody who sent it")
    return Who(id=canonical, alias=alias if is_person(alias) and alias != canonical else "", name=pushed)


def names_of(someone: Who | None) -> tuple[str, ...]:
    """Give all names of a person."""
    return () if someone is None else tuple(one for one in (someone.id, someone.alias) if one)


@dataclass(frozen=True)
class Place:
    """Where something happened, and by whom."""

    chat: Who
    kind: Literal["direct", "group", "self"]
    sender: Who
    from_me: bool


def place_of(source: Any, pushed: Any, me: Who | None) -> Place | None:
    """Read an event's ``MessageSource``.

    Args:
        source: The library's.
        pushed: What the sender calls themselves.
        me: The account, where it is known.

    Returns:
        ``None`` for what is no talk with anybody: statuses, broadcasts, channels.

    Raises:
        ValueError: It names no chat or no sender.
    """
    if said(source.Chat.Server) in _PASSED_OVER:
        return None
    from_me, called = bool(source.IsFromMe), _called(pushed)
    sender = who(source.Sender, source.SenderAlt, called)
    if said(source.Chat.Server) == GROUP:
        return Place(_group(source.Chat), "group", _completed(sender, me), from_me)
    other = source.RecipientAlt if from_me else source.SenderAlt
    chat = who(source.Chat, other, "" if from_me else called)
    own = {*names_of(me), *names_of(sender)}
    mine = from_me and (chat.id in own or chat.alias in own)
    return Place(_completed(chat, me), "self" if mine else "direct", _completed(sender, me), from_me)


def call_place(meta: Any, me: Who | None) -> Place | None:
    """Read a call's ``BasicCallMeta``, as ``place_of`` does.

    Raises:
        ValueError: It names no chat or no caller.
    """
    origin = getattr(meta, "from")
    if said(origin.Server) in _PASSED_OVER:
        return None
    caller = meta.callCreator if named(meta.callCreator) else origin
    sender = _completed(who(caller, meta.callCreatorAlt), me)
    from_me = sender.id in names_of(me)
    if said(origin.Server) == GROUP:
        return Place(_group(origin), "group", sender, from_me)
    chat = sender if named(origin) == sender.id else who(origin, None)
    return Place(_completed(chat, me), "direct", sender, from_me)


def _group(jid: Any) -> Who:
    canonical = named(jid)
    if not canonical:
        raise ValueError("this event names no chat")
    return Who(id=canonical)


def _called(pushed: Any) -> str:
    """What somebody calls themselves; the network writes ``-`` for nothing."""
    called = name(pushed)
    return "" if called == "-" else called


def _completed(someone: Who, me: Who | None) -> Who:
    """Give the account its other name, which events about itself often lack."""
    if someone.alias or someone.id not in names_of(me):
        return someone
    other = next((one for one in names_of(me) if one != someone.id), "")
    return someone.model_copy(update={"alias": other})
