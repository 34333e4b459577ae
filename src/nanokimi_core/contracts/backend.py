"""Agent backends: where an assistant thinks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from nanokimi_core.contracts.auth import AgentCommands, Auth
from nanokimi_core.contracts.plugin import Progress
from nanokimi_core.messages import ChatKind, Inbound


@dataclass(frozen=True)
class Chat:
    """A chat, as a backend sees it.

    Attributes:
        id: ``transport:chat``.
        name: What people call it. Not to be trusted.
        kind: A chat of two, a group, or the owner's chat with themselves.
        folder: Holds ``workspace/`` (the agent's), ``agent/<instance>/`` (the agent's home) and ``KIMI.md``. Chats
            with the same sandbox have the same folder.
        auth: Live: the chain of accounts that the toml gives this chat, the first one with a valid login or key.
        sandbox: Chats with the same sandbox may share a container.
        instructions: The assistant's name, the global and the chat's ``KIMI.md``, as one text.
    """

    id: str
    name: str
    kind: ChatKind
    folder: Path
    auth: Auth
    sandbox: str
    instructions: str = ""


@dataclass(frozen=True)
class Turn:
    """What the agent is asked in one go.

    Attributes:
        id: The same when the turn is tried again.
        messages: To answer. Their attachments lie under ``chat.folder/workspace``.
        context: Said before, without a trigger.
    """

    id: str
    messages: tuple[Inbound, ...]
    context: tuple[Inbound, ...] = ()


@dataclass(frozen=True)
class Text:
    """A piece of the answer."""

    delta: str


@dataclass(frozen=True)
class Thought:
    """A piece of the agent's thinking; not part of the answer."""

    delta: str


@dataclass(frozen=True)
class ToolCall:
    """The agent uses a tool."""

    id: str
    title: str
    status: Literal["running", "done", "failed"]


@dataclass(frozen=True)
class Usage:
    """What the turn has cost so far, in tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None


AgentEvent = Text | Thought | ToolCall | Usage
"""What comes back from a turn, piece by piece."""


class Session(Protocol):
    """A conversation with an agent that is up."""

    def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Ask, and give what comes back as it comes. Iterated under ``aclosing``; no task group across a yield.

        Raises:
            AgentError: The turn failed.
        """
        ...

    async def cancel(self) -> None:
        """Stop the running turn; its ``prompt`` then ends normally."""
        ...


class Backend(Protocol):
    """An agent backend.

    The core enters a session at first need and leaves it after ``idle_timeout``, for room, or when the grant's
    fingerprint has changed.
    """

    def session(self, chat: Chat) -> AbstractAsyncContextManager[Session]:
        """Give the chat's session. Entered: the agent is up. Left: it may be gone. Entered again: it still knows.

        Raises:
            AgentError: On entering: the agent can't be brought up.
            LoginNeeded: On entering: the chat's account has no valid credentials.
        """
        ...

    async def forget(self, chat: Chat) -> None:
        """Let the chat's next session start empty."""
        ...


@runtime_checkable
class HasRoom(Protocol):
    """A backend that knows how many sandboxes the machine can hold."""

    async def room(self) -> int:
        """Count the sandboxes that fit into the machine's memory, the running ones included; at least 1."""
        ...


@runtime_checkable
class OffersAgentCommands(Protocol):
    """A backend that can run the agent's own login, for accounts that need it (``UsesAgent``)."""

    def agent_commands(self) -> AgentCommands:
        """Give the agent's commands; they may be used at any time while the backend is entered."""
        ...


@dataclass(frozen=True)
class ImageStatus:
    """The container image that a backend runs its agents from.

    Attributes:
        name: With its tag.
        present: Whether this machine's engine has it.
        detail: For people: when it was made, how large it is, what is in it.
        download: What building it will fetch, for people (``about 300 MB``).
        buildable: Whether ``build_image`` makes this one; an image that the toml names is the owner's own.
    """

    name: str
    present: bool
    detail: str = ""
    download: str = ""
    buildable: bool = True


@runtime_checkable
class BuildsImage(Protocol):
    """A backend whose agents run from an image that is built on this machine."""

    async def image_status(self) -> ImageStatus:
        """Look for the image.

        Raises:
            AgentError: The engine can't be asked.
        """
        ...

    def build_image(self, *, fresh: bool = False) -> AsyncIterator[Progress]:
        """Build the image, ``fresh`` without the engine's cache.

        Raises:
            AgentError: The build failed; the detail has its last lines.
        """
        ...


@dataclass(frozen=True)
class AgentModel:
    """A model in the config that an agent sees."""

    name: str
    provider: str
    model: str


@dataclass(frozen=True)
class AgentProvider:
    """A provider in the config that an agent sees; of its secrets only whether they are there."""

    name: str
    kind: str
    base_url: str
    has_key: bool
    has_oauth: bool


@dataclass(frozen=True)
class AgentConfig:
    """The config that an agent sees, read from inside its container.

    Attributes:
        agent: ``kimi-code``, …, with its version.
        path: Of the config file, in the container.
        default_model: The name of the model that sessions ask for; a key of ``models``.
        models: What the config calls models.
        providers: What the config calls providers.
    """

    agent: str
    path: str
    default_model: str
    models: tuple[AgentModel, ...] = field(default_factory=tuple)
    providers: tuple[AgentProvider, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Timing:
    """A stage of a probe and how long it took, in seconds from the probe's start."""

    stage: str
    seconds: float


@runtime_checkable
class Inspectable(Protocol):
    """A backend that answers the three questions of ``nanokimi debug``."""

    async def agent_config(self, chat: Chat) -> AgentConfig:
        """Read the config that the agent sees, from inside a container that is made like the chat's own."""
        ...

    def probe(self, chat: Chat, text: str) -> AsyncIterator[Timing | Text]:
        """Ask the agent something in a conversation of its own that is thrown away, and time each stage."""
        ...

    async def logs(self, chat: Chat, *, lines: int) -> str:
        """Give the last lines of what the chat's agent logged."""
        ...
