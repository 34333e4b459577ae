"""Where a chat's turns are done: its folder, its instructions, its account, its backend."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from nanokimi_core.config import ChatRules, Settings
from nanokimi_core.contracts.auth import Auth
from nanokimi_core.contracts.backend import Chat
from nanokimi_core.conversation.access import chat_ids
from nanokimi_core.conversation.accounts import Account
from nanokimi_core.conversation.turns import Seat
from nanokimi_core.errors import ConfigError
from nanokimi_core.folder import DataFolder
from nanokimi_core.instances import Instance
from nanokimi_core.logs import keep_secret
from nanokimi_core.messages import ChatKind, Inbound

_MOST_ACCOUNTS = 10_000


class Seats:
    """Finds what goes with a chat.

    Args:
        settings: Live.
        folder: Where chats have their files.
        instances: The plugins, under ``kind name``; live.
    """

    def __init__(self, settings: Callable[[], Settings], folder: DataFolder, instances: Mapping[str, Instance]) -> None:
        self._settings = settings
        self._folder = folder
        self._instances = instances
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def of_message(self, transport: str, message: Inbound, rules: ChatRules) -> Seat:
        """Find the seat of a message's chat under its rules.

        Raises:
            ConfigError: A ``KIMI.md`` can't be read, or the rules name a backend that isn't running.
        """
        ids = chat_ids(transport, message)
        return self.seat(ids[0], rules, name=message.chat_name, kind=message.kind, ids=ids)

    def seat(
        self,
        chat: str,
        rules: ChatRules,
        *,
        name: str = "",
        kind: ChatKind = "direct",
        ids: tuple[str, ...] = (),
    ) -> Seat:
        """Give the seat that goes with a chat's id (``transport:chat``) under its rules.

        Raises:
            ConfigError: A ``KIMI.md`` can't be read, or the rules name a backend that isn't running.
        """
        backend = self._instances.get(f"backend {rules.backend}")
        if backend is None:
            said = f'the backend "{rules.backend}" of {chat} isn\'t running'
            raise ConfigError(said, remedy="restart nanokimi run: a new backend needs that")
        account = self._account(chat, ids or (chat,))
        sandbox = rules.sandbox or chat
        folder = self._folder.chat(sandbox)
        instructions = self._folder.instructions(self._settings().assistant, folder)
        value = Chat(chat, name, kind, folder, account, sandbox, instructions)
        return Seat(value, account, rules.backend, backend.value, backend.provided.plugin)

    def _account(self, chat: str, ids: tuple[str, ...]) -> Account:
        account = self._accounts.get(chat)
        if account is None:
            account = self._accounts[chat] = Account(lambda: self._chain(ids), keep_secret)
            if len(self._accounts) > _MOST_ACCOUNTS:
                self._accounts.popitem(last=False)
        return account

    def _chain(self, ids: tuple[str, ...]) -> list[tuple[str, Auth]]:
        found: list[tuple[str, Any]] = []
        for name in self._settings().rules(ids).auth:
            instance = self._instances.get(f"auth {name}")
            if instance is not None and instance.value is not None:
                found.append((name, instance.value))
        return found
