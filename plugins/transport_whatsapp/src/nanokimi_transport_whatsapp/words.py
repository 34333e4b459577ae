"""What people read of an account; nothing here knows of the transport or its child."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.values import Link, Who

_NUMBER = re.compile(r"([0-9]+)@s\.whatsapp\.net")
_PHONE = re.compile(r"[1-9][0-9]{6,14}")
_BETWEEN = re.compile(r"[\s()./-]")
_LONGEST = 300


def plain(text: str) -> str:
    """Make one line of what somebody else has said, with nothing in it that a terminal would take as an order."""
    printable = "".join(c for c in text if c.isspace() or not unicodedata.category(c).startswith("C"))
    return " ".join(printable.split())[:_LONGEST]


def phone_digits(typed: str) -> str:
    """Make the digits of a phone number, country code first, of how a person has written it.

    Raises:
        CommandError: It is none.
    """
    digits = _BETWEEN.sub("", typed).removeprefix("+").removeprefix("00")
    if not _PHONE.fullmatch(digits):
        said = f'"{plain(typed)}" is no phone number with its country code'
        raise CommandError(said, remedy="write it like --phone +491511234567")
    return digits


def number_of(who: Who) -> str:
    """Give an account's phone number, or nothing where it isn't known."""
    found = next((match for name in (who.id, who.alias) if (match := _NUMBER.fullmatch(name))), None)
    return f"+{found[1]}" if found else ""


def account_words(who: Who) -> str:
    """Name an account: what it calls itself, and its number."""
    name, number = plain(who.name), number_of(who) or who.id
    return f"{name} ({number})" if name and number else name or number or "an account that says no name"


def why_not(link: Link, name: str) -> CommandError:
    """Say why a link came to nothing, and what to do.

    Args:
        link: The state that ended it.
        name: The instance's.
    """
    said, remedy = _trouble(link, name)
    return CommandError(f"{name} is not linked: {said}", remedy=remedy)


def _trouble(link: Link, name: str) -> tuple[str, str]:
    words = plain(link.said)
    number = f" (code {link.code})" if link.code else ""
    again = f"nanokimi {name} link"
    match link.state:
        case "passkey":
            return (
                "WhatsApp asks this account for a passkey to link a device, and none can be given from here",
                "remove the passkey on the phone (Settings → Account → Passkeys) and try again, or use another number",
            )
        case "banned":
            until = f" until {_clock(link.seconds)}" if link.seconds else ""
            return f"WhatsApp has locked this account out{until}{number}", f"wait until then, and only then: {again}"
        case "outdated":
            return "WhatsApp takes this version of its library no longer", "update neonize: pip install -U neonize"
        case "logged_out":
            return "the phone has removed the link again", f"try again with: {again}"
        case "full":
            return "as many messages wait as may wait", "let nanokimi run deliver them first"
        case "ended":
            why = words or "it does not say why"
            return (
                f"the connection came to nothing: {why}",
                f"look at the network and at nanokimi doctor, then: {again}",
            )
        case _:
            reason = f": {words}" if words else ""
            return f"WhatsApp refuses the connection{number}{reason}", f"try again later with: {again}"


def _clock(seconds: float) -> str:
    return f"{datetime.now().astimezone() + timedelta(seconds=seconds):%Y-%m-%d %H:%M}"
