"""WhatsApp as the core's checks see a network: people with phones, on the stand-in server."""

from __future__ import annotations

import secrets
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from anyio import to_thread

from nanokimi_core import Transport
from nanokimi_core.testing import ScriptedContext, TransportRig
from nanokimi_transport_whatsapp import nanokimi_transports
from whatsapp_testbed.friend import Friend
from whatsapp_testbed.hub import fresh_id, now
from whatsapp_testbed.linked import Login, led
from whatsapp_testbed.received import Received
from whatsapp_testbed.server import WhatsAppServer
from whatsapp_testbed.stanzas import Attribute, Node
from whatsapp_testbed.users import Group, User

T = TypeVar("T")
LATER_SECONDS = 60
"""What the transport waits where the server says "too much": WhatsApp names no time."""

_FILES = frozenset({"image", "video", "audio", "voice", "document", "sticker"})
_LOSING_SECONDS = 10


class Scene:
    """A server, a friend with a phone, and accounts for the assistant; made once for many rigs. Its methods block.

    Attributes:
        server: The stand-in server.
        friend: Somebody's client.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._logins: dict[str, Login] = {}
        self._tablets: dict[str, Friend] = {}

    def __enter__(self) -> Self:
        self.server = self._stack.enter_context(WhatsAppServer(self._folder / "server"))
        ana = self.server.user("15550000001", "100000000000001", "Ana")
        self.friend = self._stack.enter_context(Friend(self.server, ana, self._folder / "ana"))
        self._stack.enter_context(led(self.server))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def login(self, name: str) -> Login:
        """Give the login of one of the assistant's accounts, linked at the first time."""
        if name not in self._logins:
            number = len(self._logins) + 1
            user = self.server.user(f"1555100000{number}", f"20000000000000{number}", "Kai")
            self._logins[name] = Login(self.server, user, self._folder / f"login-{name}")
        return self._logins[name]

    def tablet(self, name: str) -> Friend:
        """Give another device of one of the assistant's accounts."""
        if name not in self._tablets:
            tablet = Friend(self.server, self.login(name).user, self._folder / f"tablet-{name}")
            self._tablets[name] = self._stack.enter_context(tablet)
        return self._tablets[name]

    def group(self, *users: User) -> Group:
        """Make a group."""
        return self.server.group(f"1203630{secrets.randbelow(10**11):011}", "Club", users)

    def mark(self, sender: User) -> str:
        """Wait until all that the server has for the friend has come there; gives the id of the event that ends it."""
        marker, account = fresh_id(), self.friend.user.number
        hub = self.server.hub
        origin = hub.directory.accounts[sender.number].lid

        def act() -> None:
            for device in hub.directory.accounts[account].devices.values():
                hub.deliver(device, Node("receipt", {"from": origin, "id": marker, "t": now()}))

        self.server.call(act)
        self.friend.wait_for(lambda event: event.kind == "receipt" and marker in event.targets)
        return marker

    def heal(self) -> None:
        """End all trouble, and wait until the friend is there again."""
        self.server.trouble.up()
        self.server.trouble.accept_login()
        self.server.trouble.let_go()
        self.server.media.heal()
        self.server.wait_for(self.friend.user.connected, within=30)


class WhatsAppRig(TransportRig):
    """A direct chat between a friend and a number of the assistant's own.

    Not among its abilities: telling what was acknowledged (the library does that by itself, before the transport knows
    of a message), and threads (WhatsApp has none).

    Attributes:
        scene: Made by whoever runs the checks.
        account: Which of the scene's logins is used.
    """

    spec = nanokimi_transports()[0]
    keeps = True
    shows_a_key_once = True
    scene: ClassVar[Scene | None] = None
    account = "first"
    _losing: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        await to_thread.run_sync(self._begin)
        return self

    async def __aexit__(self, *error: object) -> None:
        await to_thread.run_sync(self._end)

    def table(self) -> Mapping[str, Any]:
        """As fast as it goes: these checks aren't about WhatsApp's patience with people who write too much."""
        pace = {"per_minute": 600, "per_minute_chat": 600, "burst": 20}
        return {**pace, "reply_only": False, "first_retry": 0.05, "longest_retry": 0.5}

    @asynccontextmanager
    async def made(self, name: str = "tried") -> AsyncIterator[Transport]:
        """Make an instance whose account is linked."""
        if name not in self.contexts:
            self.contexts[name] = ScriptedContext(self.folder / name, name)
            self.contexts[name].folder.mkdir(mode=0o700)
        await to_thread.run_sync(self._login.lend, self.contexts[name].folder)
        async with super().made(name) as transport:
            yield transport

    def beside(self) -> TransportRig:
        """Give a rig with another account; the friend is the same one."""
        other = super().beside()
        assert isinstance(other, WhatsAppRig)
        other.account = "second"
        return other

    # -------------------------------------------------------------- what people do and see
    async def write(self, text: str) -> None:
        """Let the friend write."""
        self._written = await _on_thread(self._friend.send_text, self._there, text)

    async def shown(self, chat: str) -> Sequence[str]:
        """Give what the friend has got, captions included."""
        return [event.text for event in self._got() if event.kind in {"text", *_FILES} and event.text]

    async def write_file(self, name: str, data: bytes, text: str) -> None:
        """Let the friend send a document."""
        self._written = await _on_thread(self._friend.send_document, self._there, data, name, text)

    async def shown_files(self, chat: str) -> Sequence[tuple[str, bytes]]:
        """Give the files that the friend has got."""
        return [(event.name, event.data) for event in self._got() if event.kind in _FILES]

    async def typing_shown(self, chat: str) -> bool:
        """Say whether the friend's phone shows that the assistant writes."""
        states = [event.text for event in self._got() if event.kind == "typing"]
        return bool(states) and states[-1] != "paused"

    async def edit(self, text: str) -> None:
        """Let the friend change the latest message."""
        await _on_thread(self._friend.edit, self._there, self._written, text)

    async def revoke(self) -> None:
        """Let the friend delete the latest message for all."""
        await _on_thread(self._friend.revoke, self._there, self._written)

    async def react(self, sign: str) -> None:
        """Let the friend react to the latest message."""
        await _on_thread(self._friend.react, self._there, self._written, sign)

    async def mention(self, text: str) -> None:
        """Let the friend mention the assistant's account."""
        who = self._user.chat
        await _on_thread(self._friend.send_text, self._there, f"@{self._user.lid} {text}", mention=[who])

    async def write_from_me(self, text: str) -> None:
        """Write to the friend from another device of the account."""
        tablet = await to_thread.run_sync(self._scene.tablet, self.account)
        await _on_thread(tablet.send_text, self._friend.user.chat, text)

    # -------------------------------------------------------------- what the network does
    async def bring_again(self) -> None:
        """Send the latest message once more."""
        await _on_thread(self._scene.server.trouble.bring_again, self._user)

    async def cut(self) -> None:
        """End the transport's connection."""
        await _on_thread(self._scene.server.trouble.cut, self._user, device=self._login.device)

    async def refuse_lines(self) -> None:
        """Close every connection as soon as it is made."""
        await _on_thread(self._scene.server.trouble.down)

    async def fall_silent(self) -> None:
        """Say nothing more, on any connection."""
        await _on_thread(self._scene.server.trouble.silent)

    async def throttle_next(self) -> timedelta | None:
        """Refuse the next message as one too many."""
        await _on_thread(self._scene.server.trouble.refuse_next, self._user, 429)
        return timedelta(seconds=LATER_SECONDS)

    async def forbid_next(self) -> None:
        """Refuse the next message as one to somebody who doesn't want to hear of this account."""
        await _on_thread(self._scene.server.trouble.refuse_next, self._user, 463)

    async def lose_next(self) -> None:
        """Pass the next message on, and cut the connection instead of acknowledging it."""
        server, user = self._scene.server, self._user
        before = len(user.messages())
        await _on_thread(server.trouble.hold_acks, user)

        def lose() -> None:
            with suppress(TimeoutError):
                server.wait_for(lambda: len(user.messages()) > before, within=_LOSING_SECONDS)
            server.trouble.cut(user, device=self._login.device)
            server.trouble.let_go()

        self._losing = threading.Thread(target=lose, name="AnyIO worker thread of the rig", daemon=True)
        self._losing.start()

    async def garbage(self, data: bytes) -> None:
        """Send a letter that nobody can open."""
        hub, friend = self._scene.server.hub, self._friend.user
        account = hub.directory.accounts[friend.number]
        origin = next(iter(account.devices.values())).lid

        def act() -> None:
            sealed = Node("enc", {"v": "2", "type": "msg"}, data)
            told: dict[str, Attribute | None] = {"id": fresh_id().upper(), "t": now(), "type": "text", "from": origin}
            device = hub.directory.accounts[self._user.number].devices[self._login.device]
            hub.deliver(device, Node("message", {**told, "sender_pn": account.jid}, [sealed]))

        await _on_thread(self._scene.server.call, act)

    # -------------------------------------------------------------- small things
    @property
    def _scene(self) -> Scene:
        if self.scene is None:
            raise RuntimeError("WhatsAppRig.scene must be set before checks are run")
        return self.scene

    @property
    def _friend(self) -> Friend:
        return self._scene.friend

    @property
    def _user(self) -> User:
        return self._login.user

    def _begin(self) -> None:
        self._login = self._scene.login(self.account)
        self._written = ""
        self._there: str = self._user.chat
        self.chat = self._friend.user.chat
        self._since = self._scene.mark(self._user)

    def _end(self) -> None:
        if self._losing is not None:
            self._losing.join(2 * _LOSING_SECONDS)
        self._scene.heal()
        self._login.take_back()

    def _got(self) -> list[Received]:
        """Give what has come to the friend from this account, in this chat, since the rig was made."""
        events = self._friend.events
        begun = next(place for place, event in enumerate(events) if self._since in event.targets)
        mine = self._user.chat
        return [event for event in events[begun:] if event.sender == mine and event.chat == self._there]


class GroupRig(WhatsAppRig):
    """A group in which the friend and the assistant's number are; a new one for each check."""

    def _begin(self) -> None:
        super()._begin()
        self._there = self.chat = self._scene.group(self._friend.user, self._user).chat


class OwnNumberRig(WhatsAppRig):
    """A direct chat with somebody whose own number is linked, and who has a chat with themselves."""

    def table(self) -> Mapping[str, Any]:
        """Say whose number it is."""
        return {**super().table(), "number": "own"}

    async def write_to_self(self, text: str) -> None:
        """Write in the account's chat with itself, on another device."""
        tablet = await to_thread.run_sync(self._scene.tablet, self.account)
        await _on_thread(tablet.send_text, self._user.chat, text)


async def _on_thread(call: Callable[..., T], *arguments: Any, **more: Any) -> T:
    return await to_thread.run_sync(partial(call, *arguments, **more))
