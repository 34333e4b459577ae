"""The stand-in server with its thread: what tests start, look at and bring trouble to."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import anyio
from anyio.abc import SocketAttribute, TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from whatsapp_testbed.certificates import make_identity, make_tls
from whatsapp_testbed.codec import Codec
from whatsapp_testbed.curve import KeyPair
from whatsapp_testbed.hub import Hub, fresh_id, now
from whatsapp_testbed.media import MediaHost
from whatsapp_testbed.people import Account, GroupRecord
from whatsapp_testbed.proxy import HOSTS, Proxy
from whatsapp_testbed.stanzas import Attribute, Node
from whatsapp_testbed.tokens import dictionary
from whatsapp_testbed.trouble import Trouble
from whatsapp_testbed.users import Group, User

T = TypeVar("T")
REDIRECT = Path(__file__).parent / "redirect"
_CALL_SECONDS = 30
_POLL_SECONDS = 0.01


class WhatsAppServer:
    """All of WhatsApp on this machine, between ``with`` and its end. Its methods block; use them from any thread.

    Args:
        folder: Where certificates are kept for the life of the server.

    Attributes:
        trouble: What can go wrong, for tests to bring about.
        media: The media host and its troubles.
        hub: The server's state, for the testbed's own modules: read it through ``call``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        root = KeyPair()
        (folder / "whatsapp-root.hex").write_text(root.public.hex())
        self._tls = make_tls(folder, HOSTS)
        self.hub = Hub(make_identity(root), Codec(dictionary()))
        self.media = MediaHost(OrderedDict())
        self.trouble = Trouble(self.hub, self.call)
        self._port = 0
        self._portal: BlockingPortal | None = None
        self._thread: AbstractContextManager[BlockingPortal] | None = None
        self._serving: Future[None] | None = None

    def __enter__(self) -> WhatsAppServer:
        self._thread = start_blocking_portal("asyncio")
        self._portal = self._thread.__enter__()
        self._serving, self._port = self._portal.start_task(self._serve)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._serving is not None and self._thread is not None:
            self._serving.cancel()
            self._thread.__exit__(None, None, None)
        self._portal = self._thread = self._serving = None
        if self.hub.faults and error is None:
            raise RuntimeError("the stand-in server has made mistakes of its own") from self.hub.faults[0]

    @property
    def proxy(self) -> str:
        """The address that stands for all of WhatsApp: ``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str]:
        """What leads a child process to this server; merge it into the environment that the process starts with.

        Set in a running process it does nothing: the library reads its environment as the process began.
        """
        path = [str(REDIRECT), os.environ.get("PYTHONPATH", "")]
        return {
            "HTTPS_PROXY": self.proxy,
            "SSL_CERT_FILE": str(self._tls.authority),
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
        }

    def user(self, number: str, lid: str, name: str) -> User:
        """Add a person, with a phone: digits of the number and of the LID, and a name."""
        account = Account(number, lid, name)
        self.call(lambda: self.hub.directory.accounts.__setitem__(number, account))
        return User(self, account)

    def group(self, group_id: str, subject: str, members: Sequence[User]) -> Group:
        """Add a group, whose first member is its owner; nobody is told: devices ask."""
        record = GroupRecord(group_id, subject, [self.hub.directory.accounts[user.number] for user in members])
        self.call(lambda: self.hub.directory.groups.__setitem__(group_id, record))
        return Group(self, record)

    def dials(self) -> int:
        """How often anybody has opened a connection to the chat host, refused ones left out."""
        return self.call(lambda: self.hub.seen.dials)

    def strangers(self) -> list[str]:
        """Questions that the server has no answer for."""
        return self.call(lambda: list(self.hub.seen.strangers))

    def stanzas(self, number: str = "") -> list[str]:
        """What clients have sent, as text; of one account, or of all."""
        seen = self.hub.seen.stanzas
        return self.call(lambda: [str(one.node) for one in seen if number in {"", one.number}])

    def wait_for(self, look: Callable[[], T], *, within: float = 20) -> T:
        """Look again and again until there is something; returns it.

        Raises:
            TimeoutError: There was nothing in this many seconds.
        """
        deadline = time.monotonic() + within
        while not (found := look()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing came within {within} s: {getattr(look, '__qualname__', look)}")
            time.sleep(_POLL_SECONDS)
        return found

    def notify(self, people: Sequence[Account], attributes: dict[str, Attribute | None], parts: Sequence[Node]) -> None:
        """Tell all devices of these people something, at once or at their next login."""

        def act() -> None:
            told = {"id": fresh_id(), "t": now(), **attributes}
            for device in self.hub.directory.devices_of(list(people)):
                self.hub.deliver(device, Node("notification", dict(told), list(parts)))

        self.call(act)

    def call(self, function: Callable[[], T]) -> T:
        """Call something in the server's thread.

        Raises:
            RuntimeError: The server doesn't run.
            TimeoutError: It did not answer in 30 seconds.
        """
        if self._portal is None:
            raise RuntimeError("the server runs only inside its with block")
        future: Future[Any] = self._portal.start_task_soon(_called, function)
        result: T = future.result(_CALL_SECONDS)
        return result

    async def _serve(self, *, task_status: TaskStatus[int]) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener:
            port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # not Django's
            task_status.started(port)
            await listener.serve(Proxy(self.hub, self.media, self._tls).serve)


async def _called(function: Callable[[], T]) -> T:
    return function()
