"""What a conformance suite has to be told of a plugin and of what stands behind it: a network, an agent, a server.

A rig is made for one check and thrown away after it. What a suite can always ask is a method of these classes; what
only some can do is a method that a rig may have, each described by a protocol of its own: checks that need one of those
don't apply to a rig without it.
"""

from __future__ import annotations

import logging
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from logging import LoggerAdapter
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import SecretStr

from nanokimi_core.config import Location, validate_table
from nanokimi_core.contracts.auth import Auth, Grant, Need
from nanokimi_core.contracts.backend import Backend, Chat
from nanokimi_core.contracts.transport import Transport
from nanokimi_core.files import private_folder
from nanokimi_core.hookspecs import Spec
from nanokimi_core.testing.conformance.backend.account import RigAccount
from nanokimi_core.testing.conformance.checks import LOOPS, Loop

T = TypeVar("T")


@dataclass
class ScriptedContext:
    """A ``Context`` that notes what the owner is told.

    Attributes:
        folder: As in ``Context``.
        name: As in ``Context``.
        assistant: As in ``Context``.
        installation: As in ``Context``.
        told: What the owner was told, by key.
    """

    folder: Path
    name: str = "tried"
    assistant: str = "Kai"
    installation: str = "conformance"
    told: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log: LoggerAdapter[Any] = LoggerAdapter(logging.getLogger(f"nanokimi.{self.name}"), {})

    async def tell_owner(self, key: str, text: str) -> None:
        """Note what the owner is told."""
        self.told[key] = text


class Rig(Generic[T]):
    """One plugin, ready to be tried.

    Make a subclass with ``spec`` and ``table``; start what the plugin talks to in ``__aenter__``, on this machine, and
    end it in ``__aexit__``.

    Args:
        folder: Empty, and this rig's own.

    Attributes:
        spec: What the plugin's hook gives.
        loops: The event loops that the plugin runs on; a plugin on an asyncio library leaves ``trio`` out.
        patience: Seconds after which a check is given up.
        excused: Names of checks that don't apply to this plugin, each with the reason.
    """

    spec: ClassVar[Spec[Any]]
    loops: ClassVar[tuple[Loop, ...]] = LOOPS
    patience: ClassVar[float] = 30.0
    excused: ClassVar[Mapping[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contexts: dict[str, ScriptedContext] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...

    def table(self) -> Mapping[str, Any]:
        """Give the instance's table as it would stand in the toml; relative paths start from the rig's folder."""
        return {}

    @asynccontextmanager
    async def made(self, name: str = "tried") -> AsyncIterator[T]:
        """Make an instance as the core does: its table is checked, and a context manager is entered.

        Args:
            name: Of the instance; each has a folder and a context of its own, and so has the next one of that name.
        """
        if name not in self.contexts:
            self.contexts[name] = ScriptedContext(self.folder / name, name)
            self.contexts[name].folder.mkdir(mode=0o700)
        config = validate_table(self.spec.config, dict(self.table()), name, Location(None, self.folder))
        value: Any = self.spec.create(config, self.contexts[name])
        if hasattr(value, "__aenter__"):
            async with value as entered:
                yield entered
        else:
            yield value


class TransportRig(Rig[Transport], ABC):
    """A transport and its network, seen from the network's side.

    ``write`` and ``shown`` are all that it must have besides ``spec`` and ``table``; what else a network can do is
    described by the protocols of ``conformance.transport.abilities``, each a method or two.

    Attributes:
        chat: The network's own name of the chat that ``write`` writes in: ``Inbound.chat``.
        keeps: The network keeps what is written while the transport is away, and brings it afterwards.
        shows_a_key_once: The network, or the transport, lets a second message under one key pass only once.
        secrets: What stands in ``table`` and may never be seen: in a log, a ``repr``, an error.
    """

    spec: ClassVar[Spec[Transport]]
    chat: str
    keeps: ClassVar[bool] = False
    shows_a_key_once: ClassVar[bool] = False
    secrets: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    async def write(self, text: str) -> None:
        """Let somebody write this in ``chat``; returns when the network has it."""

    @abstractmethod
    async def shown(self, chat: str) -> Sequence[str]:
        """Give what people see of the assistant in a chat, in order, drafts included; each message as one text."""

    def beside(self) -> TransportRig:
        """Give a second rig, with a network of its own, or at least with a chat of its own in the same network."""
        folder = self.folder / "beside"
        folder.mkdir()
        return type(self)(folder)


class BackendRig(Rig[Backend]):
    """A backend and its agent, seen from the agent's side.

    ``spec`` is all that it must have: an agent of any kind understands the three questions, and another one's rig puts
    its own in their place. What else an agent, or the server behind it, can do is described by the protocols of
    ``conformance.backend.abilities``.

    Attributes:
        remembers: The agent knows what was said before in its conversation.
        keeps: What it knows outlives the process.
        streams: An answer comes piece by piece, while the agent still writes.
        takes_grants: A session asks the chat's account for a grant when it is entered.
        instructions: Of each chat.
        installation: Of the instances' contexts: what a backend labels with it belongs to this rig only.
    """

    spec: ClassVar[Spec[Backend]]
    remembers: ClassVar[bool] = True
    keeps: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    takes_grants: ClassVar[bool] = True
    instructions: ClassVar[str] = "Your name is Kai. You keep bees."

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.installation = f"conformance-{secrets.token_hex(4)}"

    @asynccontextmanager
    async def made(self, name: str = "tried") -> AsyncIterator[Backend]:
        """Make an instance as the core does."""
        if name not in self.contexts:
            self.contexts[name] = ScriptedContext(self.folder / name, name, installation=self.installation)
            self.contexts[name].folder.mkdir(mode=0o700)
        async with super().made(name) as backend:
            yield backend

    @cached_property
    def account(self) -> RigAccount:
        """The account of every chat."""
        return RigAccount(self.new_key, self.grant)

    @property
    def wait(self) -> float:
        """Seconds after which something that should happen is taken not to."""
        return self.patience / 3

    def question(self, word: str) -> str:
        """Ask something whose answer has a word in it."""
        return f"Say {word} and nothing else."

    def remember(self, word: str) -> str:
        """Tell the agent a word that it is to remember."""
        return f"Remember the word {word}."

    def recall(self) -> str:
        """Ask for the words that it was to remember in this conversation."""
        return "What did I ask you to remember?"

    def new_key(self) -> str:
        """Make a key that the server behind the agent takes; each time another."""
        return f"sk-conformance-{secrets.token_hex(16)}"

    def grant(self, key: str, need: Need) -> Grant:
        """Make the grant of a key."""
        fingerprint = sha256(key.encode()).hexdigest()[:12]
        return Grant("kimi", "http://127.0.0.1:9/v1", "a-model", 262_144, fingerprint, SecretStr(key))

    def chat(self, number: int = 1) -> Chat:
        """Make a chat, with a folder and a sandbox of its own; the same number is the same chat."""
        folder = private_folder(self.folder / "chats" / str(number))
        private_folder(folder / "workspace")
        name = f"conformance:{number}"
        return Chat(name, f"Chat {number}", "direct", folder, self.account, name, self.instructions)


class AuthRig(Rig[Auth], ABC):
    """An auth plugin and its account, seen from the side of the one who has the account.

    ``give`` and ``lose`` are all that it must have besides ``spec`` and ``table``; what else an account can do is
    described by the protocols of ``conformance.auth.abilities``, each a method or two.

    Attributes:
        need: What grants are asked for.
        making: The instance that is made, for a ``table`` that isn't the same for all.
        canaries: Every secret that the rig has handed out: ``give`` adds to it. None may be seen in a text.
    """

    spec: ClassVar[Spec[Auth]]
    need: ClassVar[Need] = Need(
        "kimi-code", PurePosixPath("/home/node/.kimi-code"), (os.geteuid() or 1000, os.getegid() or 1000)
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.making = "tried"
        self.canaries: list[str] = []

    @abstractmethod
    async def give(self, name: str = "tried") -> None:
        """Put good credentials where this instance looks for them; each time others, also for another instance."""

    @abstractmethod
    async def lose(self, name: str = "tried") -> None:
        """Take this instance's credentials away."""

    async def refuse(self, name: str = "tried") -> None:
        """Let the account's server refuse what was given, until the next ``give``; for plugins that ask a server."""

    def home(self, name: str = "tried") -> Path:
        """Give an instance's folder, also before the instance is made."""
        if name not in self.contexts:
            self.contexts[name] = ScriptedContext(self.folder / name, name)
            self.contexts[name].folder.mkdir(mode=0o700)
        return self.contexts[name].folder

    @asynccontextmanager
    async def made(self, name: str = "tried") -> AsyncIterator[Auth]:
        """Make an instance as the core does."""
        self.making = name
        async with super().made(name) as auth:
            yield auth
