"""Logging in from the chat: the owner gets a code when a login is lost, and whenever they ask for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from logging import Logger
from typing import Any

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.config import Settings
from nanokimi_core.contracts.auth import ImportsLogin, LogsIn, TakesKey
from nanokimi_core.conversation.accounts.login_flow import LoginDesk, LoginFlow, wants_login
from nanokimi_core.conversation.accounts.login_notes import LoginNotes
from nanokimi_core.conversation.accounts.standings import Standing, Standings
from nanokimi_core.conversation.catalogue import Key, phrase
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.delivery import Delivery
from nanokimi_core.errors import CommandError, LoginNeeded
from nanokimi_core.instances import Instance
from nanokimi_core.shapes import offers
from nanokimi_core.status import LoginAsked
from nanokimi_core.store import Store

_MOST_UNASKED = 5
"""Codes that are sent unasked until the account works: a process that dies again and again must not fill the chat."""


_FINISHING = 15.0
"""Seconds for a login that was entered and isn't quite over, when its account works already."""
_SINCE = "its login was lost before the last start; send /login in the owner's chat, or run: nanokimi auth login"


class Logins:
    """Leads the logins by code that the owner sees in chat, at most one for each account.

    A code is sent once when a login is lost, and after that only on request, until the account works again. A code dies
    with the process that shows it: the next one sends a fresh one when it meets the loss again.

    Args:
        settings: Live; of the accounts and their order.
        store: Remembers what codes were sent.
        delivery: Knows whether the owner can be reached.
        owner: Who is told.
        instances: The plugins, under ``kind name``; live.
        standings: Which accounts are down; told of one to which somebody has logged in.
        log: For faults of plugins.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        delivery: Delivery,
        owner: Owner,
        instances: Mapping[str, Instance],
        *,
        standings: Standings,
        log: Logger,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._instances = instances
        self._standings = standings
        self._notes = LoginNotes(store, log)
        self._desk = LoginDesk(delivery, owner, self._notes, made=self._made, log=log)
        self._tasks: TaskGroup | None = None
        self._flows: dict[str, LoginFlow] = {}
        self._met: set[str] = set()
        self._working: set[str] = set()
        self._said: set[str] = set()

    async def load(self) -> None:
        """Read which codes were sent before this process; those that were not sent yet never will be.

        Raises:
            StoreError: It can't be read or written.
        """
        await self._notes.load(self._settings().auths())
        await self._desk.withdraw(self._notes.keys)

    def open(self, tasks: TaskGroup) -> None:
        """Make ready: logins run in these tasks. What was lost is down until it works, so that it is looked at."""
        self._tasks = self._desk.tasks = tasks
        for name in self._notes.lost:
            self._standings.gave_none(name, LoginNeeded(_SINCE))

    def waits_until(self, name: str) -> datetime | None:
        """Say until when an account's code counts; ``None`` where none waits for the owner."""
        code = flow.good() if (flow := self._flows.get(name)) is not None else None
        return code.expires_at if code is not None else None

    # ------------------------------------------------------------------ what happens to accounts
    def is_lost(self, names: Sequence[str]) -> None:
        """Hear that a chain has no account that works because these need a login; returns at once."""
        instance = next((each for name in names if (each := self._that_logs_in(name)) is not None), None)
        if instance is None or self._tasks is None:
            return
        if (flow := self._flows.get(instance.name)) is not None:
            flow.waited = True
        if instance.name not in self._flows and instance.name not in self._met:
            self._met.add(instance.name)
            self._tasks.start_soon(self._meet, instance, name=f"the loss of {instance.name}")

    def takes_care_of(self, names: Sequence[str]) -> bool:
        """Whether the owner hears of the loss of these accounts by a code, and needs no other word of it."""
        if self._owner.chat is None or not all(_wants_login(self._standings.down(name)) for name in names):
            return False
        return any(name in self._met or name in self._flows or name in self._notes.lost for name in names)

    def by_code(self, names: Sequence[str]) -> str:
        """Name the first of these accounts that is lost and logs in by a code; empty where none is."""
        lost = (name for name in names if _wants_login(self._standings.down(name)))
        return next((name for name in lost if self._that_logs_in(name) is not None), "")

    def changed(self, name: str, usable: bool) -> None:
        """Hear that an account has gone down, or may be used again; returns at once."""
        known = name in self._notes.lost or name in self._flows
        if usable and known and self._tasks is not None and name not in self._working:
            self._working.add(name)
            self._tasks.start_soon(self._works, name)

    async def settings_changed(self) -> None:
        """Follow a reload: the login of an account that was made anew, or is gone, is over."""
        kept = self._settings().auths()
        for name, flow in list(self._flows.items()):
            if self._instances.get(f"auth {name}") is not flow.instance or name not in kept:
                await flow.end()
                await self._notes.set(name, None)
                if flow.code is not None:
                    await self._desk.tell(flow.chats, partial(phrase, key="owner_login_void", name=name))

    async def _meet(self, instance: Instance) -> None:
        """Send a code for an account that is lost, unless that has been done."""
        name, note, chat = instance.name, self._notes.get(instance.name), self._owner.chat
        try:
            if chat is None:
                if name not in self._said:
                    self._said.add(name)
                    only = self._settings().transports == ("console",)
                    key: Key = "owner_login_console" if only else "owner_login_terminal"
                    self._owner.note(phrase(self._owner.language, key, name=name))
            elif (note is not None and note.lost and not note.waiting) or not await wants_login(instance):
                return
            elif note is not None and note.codes >= _MOST_UNASKED:
                await self._desk.expired(LoginFlow(instance, [chat], lost=True))
            elif name not in self._flows:
                self._begin(instance, chat, lost=True)
        finally:
            self._met.discard(name)

    async def _works(self, name: str) -> None:
        """Say that an account works again, where that was not by a login that runs here."""
        try:
            instance, flow = self._that_logs_in(name), self._flows.get(name)
            if (instance is not None and await wants_login(instance)) or (flow is not None and not flow.lost):
                return  # nobody knows yet what comes of it, or the owner wants a new login all the same
            with anyio.move_on_after(_FINISHING):
                if flow is not None:
                    await flow.over.wait()
            if flow is not None:
                await flow.end()
            await self._is_over(name, flow)
        finally:
            self._working.discard(name)

    async def _is_over(self, name: str, flow: LoginFlow | None) -> None:
        self._said.discard(name)
        chats = flow.chats if flow is not None else [chat] if (chat := self._owner.chat) is not None else []
        if self._notes.get(name) is not None and name not in self._flows:
            await self._notes.set(name, None)
            await self._desk.tell(chats, partial(phrase, key="owner_login_works", name=name))

    def _made(self, flow: LoginFlow) -> None:
        self._said.discard(flow.name)
        if self._flows.get(flow.name) is flow:
            del self._flows[flow.name]  # what is restored now, was so by this login
        self._standings.restored(flow.name)

    # ------------------------------------------------------------------ what the owner asks for
    async def ask(self, name: str | None, chat: str) -> LoginAsked:
        """Begin a login, or give its code again as long as that counts.

        Args:
            name: The account; else one whose code waits, one that needs a login, or the first that logs in by a code.
            chat: Where the code is to be shown, ``transport:chat``; empty for the owner's chat.

        Raises:
            CommandError: There is no such account, or nobody to show a code to.
        """
        where = chat or self._owner.chat
        if where is None or self._tasks is None:
            raise CommandError("there is no owner's chat to send a code to", remedy="run: nanokimi auth login")
        instance = await self._chosen(name)
        auth: Any = instance.value
        if not offers(auth, LogsIn):
            key, file = offers(auth, TakesKey), offers(auth, ImportsLogin)
            return LoginAsked(instance.name, "elsewhere", takes_key=key, imports_login=file)
        lost = await wants_login(instance)
        flow = self._flows.get(instance.name)
        if flow is None or (flow.code is not None and flow.good() is None):
            self._begin(instance, where, lost=lost, asked=True)
            return LoginAsked(instance.name, "begun", usable=not lost)
        if where not in flow.chats:
            flow.chats.append(where)
        code = flow.good()
        return LoginAsked(instance.name, "begun" if code is None else "waiting", code, usable=not lost)

    async def _chosen(self, name: str | None) -> Instance:
        names = [each for each in self._settings().auths() if f"auth {each}" in self._instances]
        if name is not None:
            if name not in names:
                raise CommandError(f'there is no account "{name}"', remedy=f"there are: {', '.join(names) or 'none'}")
            return self._instances[f"auth {name}"]
        if not names:
            raise CommandError("the toml names no account", remedy='choose one with auth = "…" in nanokimi.toml')
        able = [each for each in map(self._that_logs_in, names) if each is not None]
        if len(able) < 2:
            return able[0] if able else self._instances[f"auth {names[0]}"]
        waiting = next((each for each in able if self.waits_until(each.name)), None)
        for instance in able if waiting is None else ():
            if await wants_login(instance):
                return instance
        return waiting or able[0]

    def _that_logs_in(self, name: str) -> Instance | None:
        instance = self._instances.get(f"auth {name}")
        return instance if instance is not None and offers(instance.value, LogsIn) else None

    # ------------------------------------------------------------------ one login
    def _begin(self, instance: Instance, chat: str, *, lost: bool, asked: bool = False) -> None:
        assert self._tasks is not None  # noqa: S101  # looked at before
        before, note = self._flows.get(instance.name), self._notes.get(instance.name)
        older = before is None and note is not None and note.waiting
        flow = self._flows[instance.name] = LoginFlow(instance, [chat], lost, asked, older)
        flow.waited = lost or _wants_login(self._standings.down(instance.name))
        self._tasks.start_soon(self._lead, flow, before, name=f"login {instance.name}")

    async def _lead(self, flow: LoginFlow, before: LoginFlow | None) -> None:
        try:
            if before is not None:
                await before.end()
            await flow.lead(self._desk)
        finally:
            if self._flows.get(flow.name) is flow:
                del self._flows[flow.name]


def _wants_login(standing: Standing | None) -> bool:
    return standing is not None and standing.wants_login
