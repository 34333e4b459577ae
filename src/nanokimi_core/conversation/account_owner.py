"""The owner as a transport knows them: where the account that it uses is the owner's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from logging import Logger
from typing import Any

from nanokimi_core.config import Settings
from nanokimi_core.contracts.transport import KnowsOwner
from nanokimi_core.errors import PluginError
from nanokimi_core.instances import Instance
from nanokimi_core.shapes import offers
from nanokimi_core.supervision import guarded_call, named


class AccountOwner:
    """Asks the transports, in the toml's order, for the owner's chat with themselves; each time, since it may change.

    Args:
        settings: Live.
        instances: The plugins, under ``kind name``; live.
        log: Says which plugin can't be asked, once until what it says changes.
    """

    def __init__(self, settings: Callable[[], Settings], instances: Mapping[str, Instance], *, log: Logger) -> None:
        self._settings = settings
        self._instances = instances
        self._log = log
        self._logged: dict[str, str] = {}

    def chat(self) -> str | None:
        """Give the chat, ``transport:chat``, if a transport knows one."""
        for name in self._settings().transports:
            instance = self._instances.get(f"transport {name}")
            if instance is not None and offers(instance.value, KnowsOwner) and (chat := self._ask(instance)):
                return f"{name}:{chat}"
        return None

    def _ask(self, instance: Instance) -> str | None:
        transport: Any = instance.value
        plugin, doing = instance.provided.plugin, "to say which chat is the owner's"
        try:
            chat: str | None = guarded_call(transport.owner_chat, plugin=plugin, doing=doing, returns=(str, type(None)))
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            said = str(error if isinstance(error, PluginError) else named(plugin, doing, error))
            if self._logged.get(instance.name) != said:
                self._logged[instance.name] = said
                self._log.error("%s", said)
            return None
        self._logged.pop(instance.name, None)
        return chat
