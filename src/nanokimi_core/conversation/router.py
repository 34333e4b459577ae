"""From a delivered message to its place in the store: who gets in, what is a command, what becomes a turn."""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from logging import Logger
from typing import Any, get_args, get_type_hints

import anyio
import anyio.to_thread

from nanokimi_core.config import ChatRules, Settings
from nanokimi_core.conversation.access import chat_ids, is_triggered, senders_names
from nanokimi_core.conversation.attachments import Taken, discard, take_in
from nanokimi_core.conversation.catalogue import Phrase, phrase, unknown_chat
from nanokimi_core.conversation.grants import Grants
from nanokimi_core.conversation.lanes import Lane, Lanes
from nanokimi_core.conversation.orders import Orders
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.conversation.ownership import Ownership
from nanokimi_core.conversation.turns import Turns
from nanokimi_core.delivery import Delivery
from nanokimi_core.files import safe_name
from nanokimi_core.folder import DataFolder
from nanokimi_core.messages import Attachment, Inbound
from nanokimi_core.store import Arrival, Outcome, Role, Store, StoreError

_COMMANDS = frozenset({"/help", "/new", "/stop", "/status"})
_FULL = "full"
_REFUSE_AGAIN = 60.0
_OLD_AGAIN = 60.0
_DAY = 86_400.0
_HOUR = 3600.0
_MOST_SEEN = 20_000
_MOST_STRANGERS = 20
_EVENTS, _KINDS = (frozenset(get_args(get_type_hints(Inbound)[name])) for name in ("event", "kind"))


class Router:
    """Takes messages from every transport and keeps what is to be kept.

    Args:
        settings: Live.
        store: Where messages are kept.
        lanes: Where they wait.
        turns: What runs, to be stopped.
        delivery: Knows the transports.
        owner: Who hears of strangers.
        ownership: Who the owner is.
        grants: What the owner has granted in chat.
        orders: Carries out what the owner orders.
        folder: Where chats have their files.
        log: For what nobody needs to be told.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        lanes: Lanes,
        turns: Turns,
        delivery: Delivery,
        *,
        owner: Owner,
        ownership: Ownership,
        grants: Grants,
        orders: Orders,
        folder: DataFolder,
        log: Logger,
    ) -> None:
        self._settings = settings
        self._store = store
        self._lanes = lanes
        self._turns = turns
        self._delivery = delivery
        self._owner = owner
        self._ownership = ownership
        self._grants = grants
        self._orders = orders
        self._folder = folder
        self._log = log
        self._coming: dict[Lane, int] = {}
        self._coming_in_all = 0
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._introduced: deque[float] = deque()
        self._old_again = -math.inf

    async def receive(self, transport: str, message: Inbound) -> None:
        """Take a message; returns when it is kept, or was refused and counted.

        Raises:
            StoreError: It can't be kept now.
            TypeError: It is no message.
        """
        message = _checked(message)
        if message.from_me and await self._is_ours(transport, message):
            self._refuse(message, "own")
            return
        ids = chat_ids(transport, message)
        rules = self._settings().rules(ids)
        if self._ownership.is_claim(message):
            welcome = await self._ownership.claimed_by(transport, message, rules.language)
            message = replace(message, text="/owner")  # the code is for nobody else to read
            if welcome is not None:
                await self._reply(transport, message, welcome)
                return
        owner = self._ownership.is_owner(transport, message)
        if not (rules.known or owner or self._grants.of(ids)):
            self._refuse(message, "chat")
            if self._is_for_us(message, rules):
                await self._introduce(transport, message, denied=self._grants.of(ids) is False)
        elif not (owner or rules.may_speak(senders_names(message))):
            self._refuse(message, "sender")
        else:
            await self._see(transport, message)
            await self._take(transport, message, rules, owner=owner)

    def _is_for_us(self, message: Inbound, rules: ChatRules) -> bool:
        """Whether somebody wants something of the assistant, and not only of the person whose account it shares."""
        if not message.shared_account:
            return True
        said = message.event == "message" and (not message.from_me or message.kind == "self")
        return said and is_triggered(message, rules, self._settings().assistant)

    def forgotten(self, chat: str) -> None:
        """Note that a chat (``transport:chat``) was erased: when it writes again, it is noted and introduced anew."""
        for key in [key for key in self._seen if key[0] == chat]:
            del self._seen[key]

    async def _take(self, transport: str, message: Inbound, rules: ChatRules, *, owner: bool) -> None:
        if (
            message.event != "message"
            or (message.from_me and message.kind != "self")
            or self._is_old(transport, message, rules)
        ):
            await self._keep(transport, message, Role.CONTEXT, rules)
            return
        word = (message.text.split(maxsplit=1) or [""])[0].lower()
        if word == "/owner":
            await self._reply(transport, message, phrase(rules.language, "owner_welcome") if owner else None)
            return
        if word in _COMMANDS or (owner and word.startswith("/")):
            if not await self._command(transport, message, word, rules, owner=owner):
                await self._turn(transport, message, rules)
        elif is_triggered(message, rules, self._settings().assistant) or await self._answers_us(
            transport, message, rules
        ):
            await self._turn(transport, message, rules)
        else:
            await self._keep(transport, message, Role.CONTEXT, rules)

    def _is_old(self, transport: str, message: Inbound, rules: ChatRules) -> bool:
        """Whether a message comes so late that nobody expects an answer any more; the log says so once a minute."""
        age = datetime.now(UTC) - message.at if message.at is not None else timedelta()
        if age <= rules.max_age:
            return False
        if (now := anyio.current_time()) >= self._old_again:
            self._old_again = now + _OLD_AGAIN
            said = "%s brings messages that are older than max_age (one in %s: %s), so they are context only"
            self._log.info(said, transport, message.chat, timedelta(seconds=round(age.total_seconds())))
        return True

    async def _turn(self, transport: str, message: Inbound, rules: ChatRules, role: Role = Role.TURN) -> None:
        lane = (transport, message.chat)
        if self._is_full(lane):
            said = phrase(rules.language, "too_many_waiting")
            await self._refuse_at_cap(transport, message, said, _FULL, _REFUSE_AGAIN)
            return
        if rules.turns_per_day is not None and role is Role.TURN:
            today = date.today().isoformat()  # the owner's day
            if await self._store.turns(*lane, today) >= rules.turns_per_day:
                said = phrase(rules.language, "too_many_today")
                enough = f"{_FULL} {today}"
                await self._refuse_at_cap(transport, message, said, enough, _DAY)
                return
        self._come(lane, 1)
        try:
            await self._keep(transport, message, role, rules)
        finally:
            self._come(lane, -1)
        if rules.arriving == "cancel" and self._lanes.is_running(lane) and self._lanes.waiting(lane):
            await self._turns.stop(f"{transport}:{message.chat}", by_person=False)

    def _come(self, lane: Lane, count: int) -> None:
        self._coming_in_all += count
        coming = self._coming.pop(lane, 0) + count
        if coming:
            self._coming[lane] = coming

    def _is_full(self, lane: Lane) -> bool:
        """Whether a lane, or all lanes, hold as many messages as may wait; those on their way to the disk count."""
        limits = self._settings().limits
        if self._lanes.waiting(lane) + self._coming.get(lane, 0) >= limits.max_waiting:
            return True
        return self._lanes.total + self._coming_in_all >= limits.max_waiting_all

    async def _keep(self, transport: str, message: Inbound, role: Role, rules: ChatRules) -> None:
        if role is Role.CONTEXT and not _is_of_use(message, rules):
            discard(message)
            message = replace(message, text="", quoted="", attachments=())
        taken = Taken(message)
        if message.attachments:
            taken = await anyio.to_thread.run_sync(partial(self._take_in, transport, message, rules))
        try:
            outcome = await self._lanes.accept(Arrival(transport, taken.message, role))
        except StoreError:
            taken.put_back()
            raise
        if outcome is Outcome.DUPLICATE:
            discard(taken.message)

    def _take_in(self, transport: str, message: Inbound, rules: ChatRules) -> Taken:
        chat = f"{transport}:{message.chat}"
        try:
            workspace = self._folder.chat(rules.sandbox or chat) / "workspace"
            taken = take_in(message, workspace, part=safe_name(chat) if rules.sandbox else "")
        except OSError as error:
            said = f"the files of a message can't be kept: {error.strerror}"
            raise StoreError(said, remedy="free some space on the data folder's disk, and mend its mode") from error
        for lost in taken.lost:
            self._log.warning("a file of a message in %s can't be taken in, it goes on without it: %s", chat, lost)
        return taken

    async def _command(self, transport: str, message: Inbound, word: str, rules: ChatRules, *, owner: bool) -> bool:
        """Carry out a command; whether it was one. A message that came before does nothing again."""
        if await self._store.known(transport, message.chat, message.id):
            await self._reply(transport, message, None)
            return True
        if word == "/new":
            await self._turn(transport, message, rules, Role.ORDER)
            return True
        here = f"{transport}:{message.chat}"
        if (home := self._ownership.chat()) in chat_ids(transport, message):
            here = home or here  # one chat can have several names
        if owner and (said := await self._orders.carry_out(message.text, rules.language, here)) is not None:
            await self._reply(transport, message, said)
            return True
        lane = (transport, message.chat)
        if word == "/help":
            await self._reply(transport, message, phrase(rules.language, "help"))
        elif word == "/status":
            await self._reply(transport, message, self._chat_status(lane, rules))
        elif word == "/stop":
            await self._stop(lane, message, rules)
        else:
            return False
        return True

    def _chat_status(self, lane: tuple[str, str], rules: ChatRules) -> Phrase:
        state = phrase(rules.language, "state_ready")
        if self._lanes.is_running(lane):
            state = phrase(rules.language, "state_working")
        elif lane in self._lanes.held:
            state = phrase(rules.language, "state_held")
        name, waiting = self._settings().assistant, self._lanes.waiting(lane)
        return phrase(rules.language, "status_chat", name=name, state=state, waiting=waiting)

    async def _stop(self, lane: tuple[str, str], message: Inbound, rules: ChatRules) -> None:
        """Stop what runs; where nothing does because the lane is held, what waits there is dropped."""
        chat = ":".join(lane)
        if self._lanes.is_running(lane):
            await self._store.cancel_claimed(*lane)
            stopped = await self._turns.stop(chat, by_person=True)
            await self._reply(lane[0], message, None if stopped else phrase(rules.language, "nothing_to_stop"))
        elif lane in self._lanes.held and (count := await self._store.cancel_waiting(*lane)):
            self._lanes.emptied(lane, count)
            await self._reply(lane[0], message, phrase(rules.language, "stopped"))
        else:
            await self._reply(lane[0], message, phrase(rules.language, "nothing_to_stop"))

    async def _reply(self, transport: str, message: Inbound, said: Phrase | None) -> None:
        """Keep a message that is over, with what is said in return."""
        discard(message)
        replies = () if said is None else self._owed(transport, message, said)
        await self._lanes.accept(Arrival(transport, replace(message, attachments=()), Role.DONE, tuple(replies)))

    def _owed(self, transport: str, message: Inbound, said: Phrase) -> Any:
        route = self._delivery.route(transport)
        reply_to = message.id if route is not None and route.quotes(message.kind) else None
        key = uuid.uuid4().hex
        return self._delivery.prepare(
            transport, message.chat, said, key=key, thread=message.thread, reply_to=reply_to, notice=True
        )

    async def _is_ours(self, transport: str, message: Inbound) -> bool:
        """Whether the network brings back what the assistant itself has sent, or is sending at the moment."""
        route = self._delivery.route(transport)
        if route is not None and (route.is_echo(message.chat, message.text) or route.is_draft(message)):
            return True
        return await self._store.ours(transport, message.chat, message.id)

    async def _answers_us(self, transport: str, message: Inbound, rules: ChatRules) -> bool:
        """Whether a message that names nobody answers one of the assistant's, which not every network says."""
        if rules.trigger not in (None, "mention") or message.reply_to is None:
            return False
        return await self._store.ours(transport, message.chat, message.reply_to)

    def _refuse(self, message: Inbound, why: str) -> None:
        discard(message)
        self._store.count("received")
        self._store.count(f"refused_{why}")

    async def _refuse_at_cap(self, transport: str, message: Inbound, said: Phrase, key: str, seconds: float) -> None:
        if await self._store.known(transport, message.chat, message.id):
            await self._reply(transport, message, None)
            return
        self._refuse(message, "cap")
        if await self._store.first_in(f"{key} {transport}:{message.chat}", seconds):
            self._delivery.take(await self._store.owe(self._owed(transport, message, said)))

    async def _see(self, transport: str, message: Inbound) -> None:
        """Note who speaks where, the first time that this process sees it."""
        key = (f"{transport}:{message.chat}", message.chat_name, message.sender_name)
        if key in self._seen:
            return
        await self._store.see(key[0], message.chat_name, message.kind, [message.sender_name or message.sender])
        self._seen[key] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)

    async def _introduce(self, transport: str, message: Inbound, *, denied: bool) -> None:
        """Tell the owner of an unknown chat, once; the chat itself gets silence."""
        key = (f"{transport}:{message.chat}", "", self._owner.chat or "")  # whoever is the owner later is told too
        if denied or key in self._seen or not self._may_introduce():
            return
        route = self._delivery.route(transport)
        people = await route.members(message.chat) if route is not None else ()
        who = [*people, message.sender_name or message.sender]
        record = await self._store.see(key[0], message.chat_name, message.kind, list(dict.fromkeys(who)))
        self._seen[key] = None
        await self._owner.tell(f"unknown {key[0]}", unknown_chat(record, self._owner.language))

    def _may_introduce(self) -> bool:
        """Whether the owner may be told of one more stranger: a flood of them must not become a flood to the owner."""
        now = anyio.current_time()
        while self._introduced and self._introduced[0] < now - _HOUR:
            self._introduced.popleft()
        if len(self._introduced) >= _MOST_STRANGERS:
            return False
        self._introduced.append(now)
        return True


def _is_of_use(message: Inbound, rules: ChatRules) -> bool:
    """Whether an agent may come to see what this says: as context, or as an edit of something that waits."""
    return rules.trigger != "never" and (rules.context > 0 or message.event == "edit")


def _checked(message: Any) -> Inbound:
    """Give a message with its time, if it is one.

    Raises:
        TypeError: A transport has delivered something else.
    """
    if not isinstance(message, Inbound):
        raise TypeError(f"deliver() takes an Inbound, not {type(message).__name__}")
    for name in ("id", "chat", "sender", "text"):
        if not isinstance(value := getattr(message, name), str) or (not value and name in ("id", "chat")):
            raise TypeError(f"an Inbound's {name} is text, not {value!r:.40}")
    if message.event not in _EVENTS or message.kind not in _KINDS:
        raise TypeError(f"an Inbound has no event {message.event!r:.40} in a chat of kind {message.kind!r:.40}")
    if not (message.at is None or isinstance(message.at, datetime)):
        raise TypeError(f"an Inbound's at is a datetime or None, not {message.at!r:.40}")
    if not all(isinstance(file, Attachment) for file in message.attachments):
        raise TypeError("an Inbound's attachments are Attachments")
    if message.at is None or message.at.tzinfo is None:
        timed = object.__new__(type(message))  # as replace() does, at a tenth of its cost, for every message
        timed.__dict__.update(vars(message), at=(message.at or datetime.now(UTC)).astimezone())
        return timed
    return message
