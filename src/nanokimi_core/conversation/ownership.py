"""Who the owner is, and how somebody becomes it: by a code that only the log shows."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from logging import Logger

from nanokimi_core.config import Settings
from nanokimi_core.config.model import Language
from nanokimi_core.conversation.access import chat_ids, senders_names
from nanokimi_core.conversation.catalogue import Key, Phrase, phrase
from nanokimi_core.messages import Inbound
from nanokimi_core.store import Store, StoreError

_NOTE = "owner"
_LETTERS = "34679ACDEFGHJKMNPQRTWXY"  # none looks like another in any hand
_HALF = 4
_MOST_WRONG = 5
_CLAIM = re.compile(r"[\s\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]*/owner(?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class _Known:
    """The owner as they were when they claimed to be: every name of the chat, and every name of the person in it."""

    chats: tuple[str, ...]
    senders: tuple[str, ...]


class Ownership:
    """Knows the owner: the chat that the toml names, else who has sent the one-time code, else whose account it is.

    The code stands in memory only, as a salted hash. It is good for one owner and five wrong tries in all.

    Args:
        settings: Live; ``owner`` there wins.
        store: Remembers who has sent the code.
        of_account: Gives the chat with themselves, ``transport:chat``, of the person whose account a transport uses.
        log: Says when the code is void.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        *,
        of_account: Callable[[], str | None] = lambda: None,
        log: Logger,
    ) -> None:
        self._settings = settings
        self._of_account = of_account
        self._store = store
        self._log = log
        self._known: _Known | None = None
        self._offered: tuple[bytes, bytes] | None = None
        self._wrong: set[tuple[str, str, str]] = set()

    async def load(self) -> None:
        """Read who has become the owner before.

        Raises:
            StoreError: It can't be read.
        """
        note = await self._store.get(_NOTE)
        self._known = _read(note) if note else None
        if note and self._known is None:
            self._log.error("who the owner is can't be read in the store, so there is none until somebody sends a code")

    def chat(self) -> str | None:
        """Give the owner's chat, ``transport:chat``, if there is an owner."""
        return self._settings().owner or (self._known.chats[0] if self._known else self._of_account())

    def is_owner(self, transport: str, message: Inbound) -> bool:
        """Whether the owner says this, in the owner's chat. A group is nobody's, and the console is the owner's."""
        if not _personal(message):
            return False
        settings, chats = self._settings(), chat_ids(transport, message)
        if transport == settings.use(transport) == "console":
            return True
        if settings.owner is not None:
            return settings.owner in chats
        if self._known is None:
            return message.kind == "self" and message.from_me and self._of_account() in chats
        return not (
            set(chats).isdisjoint(self._known.chats) or set(senders_names(message)).isdisjoint(self._known.senders)
        )

    def offer(self) -> str | None:
        """Make a new code for whoever shall be the owner; ``None`` where there is one, or too many codes were wrong."""
        if self.chat() is not None or len(self._wrong) >= _MOST_WRONG:
            return None
        code = "".join(secrets.choice(_LETTERS) for _ in range(2 * _HALF))
        salt = secrets.token_bytes(16)
        self._offered = salt, _hash(code, salt)
        return f"{code[:_HALF]}-{code[_HALF:]}"

    @staticmethod
    def is_claim(message: Inbound) -> bool:
        """Whether this is ``/owner …``: it goes to ``claimed_by``, and never on to an agent or a log."""
        return _CLAIM.match(message.text) is not None

    async def claimed_by(self, transport: str, message: Inbound, language: Language) -> Phrase | None:
        """Make the sender of the right code the owner, and give the welcome.

        Any other claim gets silence: ``None``. A wrong code counts once, however often the network brings it. The
        right one in a place where others can read it is void.

        Raises:
            StoreError: It can't be written; the code stays good.
        """
        offered, code = self._offered, _code(message)
        if offered is None or not code or self.chat() is not None:
            return None
        if not hmac.compare_digest(_hash(code, offered[0]), offered[1]):
            self._count_wrong(transport, message)
            return None
        self._offered = None
        if not _personal(message):
            self._warn("owner_code_seen")
            return None
        known = _Known(chat_ids(transport, message), senders_names(message))
        try:
            await self._store.set(_NOTE, json.dumps(asdict(known)))
        except StoreError:
            self._offered = offered
            raise
        self._known = known
        return phrase(language, "owner_welcome")

    def _count_wrong(self, transport: str, message: Inbound) -> None:
        if not _personal(message):
            return
        self._wrong.add((transport, message.chat, message.id))
        if len(self._wrong) >= _MOST_WRONG:
            self._offered = None
            self._warn("owner_code_void")

    def _warn(self, key: Key) -> None:
        settings = self._settings()
        self._log.warning("%s", phrase(settings.language, key, name=settings.assistant))


def _personal(message: Inbound) -> bool:
    """Whether it comes from the one person with whom a chat is."""
    return message.kind != "group" and (not message.from_me or message.kind == "self")


def _code(message: Inbound) -> str:
    """Read a code as people type it: any case, with or without the dash, in full width or not."""
    claim = _CLAIM.match(message.text)
    if claim is None or message.event != "message":
        return ""
    typed = unicodedata.normalize("NFKC", message.text[claim.end() :][:100]).upper()
    return "".join(letter for letter in typed if letter.isalnum())


def _hash(code: str, salt: bytes) -> bytes:
    return hashlib.blake2b(code.encode(), salt=salt).digest()


def _read(note: str) -> _Known | None:
    try:
        value = json.loads(note)
        known = _Known(tuple(value["chats"]), tuple(value["senders"]))
    except (ValueError, TypeError, KeyError):
        return None
    names = (*known.chats, *known.senders)
    whole = known.chats and known.senders and all(isinstance(name, str) and name for name in names)
    return known if whole else None
