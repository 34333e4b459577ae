"""An account that is linked for the transport, once for many tests: its login goes from one folder to the next.

It can't be copied: each message moves its keys on, and an older copy could open nothing more. So it is lent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio

from nanokimi_core import private_folder
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.standing import AccountNote, read_note, write_note
from nanokimi_transport_whatsapp.supervision import ChildProcess
from nanokimi_transport_whatsapp.terminal.holding import in_use
from nanokimi_transport_whatsapp.terminal.linking import Linking
from nanokimi_transport_whatsapp.values import Who
from whatsapp_testbed.server import WhatsAppServer
from whatsapp_testbed.users import User

Number = Literal["own", "bot"]
_SECONDS = 60.0
_LETTING_GO_SECONDS = 20.0
_MEMORY = Path("/dev/shm")  # linking writes 800 keys to disk, one by one


@contextmanager
def led(server: WhatsAppServer) -> Iterator[None]:
    """Lead every process that starts meanwhile, children of a transport in this process too, to the testbed."""
    wanted = server.environment()
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Phone:
    """A screen that is scanned at once."""

    def __init__(self, user: User) -> None:
        self._user = user
        self.device = 0

    def code(self, text: str, seconds: float) -> None:
        self.device = self._user.scan(text)

    def typed(self, code: str) -> None:
        raise AssertionError("nobody asked for a code to type")

    def say(self, text: str) -> None: ...


def link(
    server: WhatsAppServer, user: User, folder: Path, *, number: Number = "bot", paired_seconds: float = 30
) -> int:
    """Link an account in an instance's folder, as ``nanokimi whatsapp link`` does; gives the device's number. 1.5 s.

    Args:
        server: The stand-in server.
        user: Whose account.
        folder: The instance's.
        number: Whose number it shall be said to be.
        paired_seconds: How long the connection after pairing may take until it is begun anew.

    Raises:
        CommandError: It came to nothing.
        TimeoutError: It had not ended after a minute.
    """
    phone, settings = _Phone(user), Settings()
    waits = {"connect_seconds": 30, "paired_seconds": paired_seconds}

    async def run(places: Places) -> Who:
        with anyio.fail_after(_SECONDS):
            start = lambda: ChildProcess(settings, places)  # noqa: E731
            return await Linking(start, phone, name="whatsapp", phone="", **waits).run()

    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with led(server), TemporaryDirectory(prefix="nanokimi-", dir=memory) as name, ThreadPoolExecutor(1) as thread:
        here, places = Places(Path(name)), Places(private_folder(folder))
        who = thread.submit(anyio.run, run, here).result()  # whoever calls may have a loop of their own
        shutil.rmtree(places.session.parent, ignore_errors=True)  # of an earlier link
        shutil.move(here.session.parent, places.session.parent)
    write_note(places, AccountNote(number=number, me=who, linked_at=datetime.now(UTC)))
    return phone.device


class Login:
    """A linked account's login, which one folder has at a time.

    Args:
        server: The stand-in server.
        user: Whose account; its phone links one device.
        home: Where it is kept while nobody has it.
        number: Whose number it shall be said to be.

    Attributes:
        device: The number under which it is linked.
    """

    def __init__(self, server: WhatsAppServer, user: User, home: Path, *, number: Number = "bot") -> None:
        self.user = user
        self._server = server
        self._home = self._here = home
        self.device = link(server, user, home, number=number)

    def lend(self, folder: Path) -> None:
        """Put it into an instance's folder, from where it is; nothing may use it meanwhile."""
        if folder == self._here:
            return
        old, new = Places(self._here), Places(private_folder(folder))
        self._wait_until_unused(old)
        note = read_note(old)
        if note is None:
            raise RuntimeError(f"the login of {self.user.name} is lost: the account was logged out")
        shutil.rmtree(new.session.parent, ignore_errors=True)
        old.session.parent.rename(new.session.parent)
        write_note(new, note)
        old.account.unlink()
        self._here = folder

    def take_back(self) -> None:
        """Bring it home, and have the server forget what it still keeps for it: that was for another test."""
        self.lend(self._home)
        hub = self._server.hub

        def forget() -> None:
            device = hub.directory.accounts[self.user.number].devices[self.device]
            device.pending.clear()
            device.waiting.clear()

        self._server.wait_for(lambda: self.device not in self.user.connected())
        self._server.call(forget)

    def _wait_until_unused(self, places: Places) -> None:
        self._server.wait_for(lambda: not in_use(places), within=_LETTING_GO_SECONDS)
