"""The other names of people, where an event doesn't tell them: who is allowed may be known by either."""

from __future__ import annotations

import logging

from nanokimi_transport_whatsapp.child.calls import Calls, Late
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.engine import Engine, EngineError
from nanokimi_transport_whatsapp.values import Message, Who

_log = logging.getLogger(__name__)

_PEOPLE = ("@lid", "@s.whatsapp.net")


class OtherNames:
    """Asks the engine's session, and remembers what it said.

    Args:
        engine: Is asked.
        calls: Bounds it.
        limits: How long, how many.
    """

    def __init__(self, engine: Engine, calls: Calls, limits: Limits) -> None:
        self._engine, self._calls, self._limits = engine, calls, limits
        self._known: dict[str, str] = {}

    def complete(self, message: Message) -> Message:
        """Give a message with the other names of its chat and its sender, as far as they are known."""
        chat, sender = self._complete(message.chat), self._complete(message.sender)
        if chat is message.chat and sender is message.sender:
            return message
        return message.model_copy(update={"chat": chat, "sender": sender})

    def _complete(self, who: Who) -> Who:
        if who.alias or not who.id.endswith(_PEOPLE):
            return who
        other = self._other(who.id)
        return who.model_copy(update={"alias": other}) if other else who

    def _other(self, name: str) -> str:
        if name in self._known:
            return self._known[name]
        try:
            other = self._calls.run("other name", lambda: self._engine.other_name(name), self._limits.name_seconds)
        except (EngineError, Late):
            return ""  # asked again at the next message
        except Exception as error:  # noqa: BLE001  # the engine is called here; the message counts without the name too
            _log.warning("the WhatsApp library fails at names (%s)", type(error).__name__)
            return ""
        if len(self._known) >= self._limits.names:
            del self._known[next(iter(self._known))]
        self._known[name] = other
        return other
