"""Where a chat's turns are done: its folder, its instructions, its account, its backend."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from nanokimi_core.config import ChatRules, Settings
from nanokimi_core.contracts.auth import Auth
from nanokimi_core.contracts.backend import Chat
from nanokimi_core.conversation.access import chat_ids
from nanokimi_core.conversation.accounts.chain import Account
from nanokimi_core.conversation.accounts.standings import Standings
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

    Attributes:
        standings: Which accounts are down.
    """

    def __init__(self, settings: Callable[[], Settings], folder: DataFolder, instances: Mapping[str, Instance]) -> None:
        self.standings = Standings(self._auth)
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
            account = self._accounts[chat] = Account(lambda: self._chain(ids), keep_secret, self.standings)
            if len(self._accounts) > _MOST_ACCOUNTS:
                self._accounts.popitem(last=False)
        return account

    def served(self, name: str) -> int:
        """Count the chats that got their last grant from an account since the start."""
        return sum(account.serving == name for account in self._accounts.values())

    def _chain(self, ids: tuple[str, ...]) -> list[tuple[str, Auth]]:
        auths = ((name, self._auth(name)) for name in self._settings().rules(ids).auth)
        return [(name, auth) for name, auth in auths if auth is not None]

    def _auth(self, name: str) -> Auth | None:
        instance = self._instances.get(f"auth {name}")
        found: Auth | None = instance.value if instance is not None else None
        return found
