"""What every plugin gets and may offer, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from logging import LoggerAdapter
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict


class NoConfig(BaseModel):
    """The table of a plugin that has no settings: empty."""

    model_config = ConfigDict(extra="forbid")


class Context(Protocol):
    """What an instance of a plugin gets from the core.

    Attributes:
        name: The instance's name in the toml; ``[plugins.NAME] use = "whatsapp"`` makes a second instance ``NAME``.
            Also the transport's name in ``NAME:chat``.
        assistant: What the assistant is called.
        folder: Private to this instance, mode 0700, survives restarts.
        log: Names the instance in each line.
        installation: Identifies this data folder, the same for ever; for labels on things outside of it.
    """

    name: str
    assistant: str
    folder: Path
    log: LoggerAdapter[Any]
    installation: str

    async def tell_owner(self, key: str, text: str) -> None:
        """Say something to the owner, once for each ``key`` until ``text`` changes."""
        ...


class Invocation(Protocol):
    """What the commands of a plugin (``Spec.commands``) find in ``typer.Context.obj``; made when first asked for."""

    @property
    def config(self) -> Any:
        """The instance's table, checked.

        Raises:
            ConfigError: It is wrong.
        """
        ...

    @property
    def context(self) -> Context:
        """The instance's context; what it tells the owner goes to the log."""
        ...


@dataclass(frozen=True)
class Check:
    """A line of ``nanokimi doctor``.

    Attributes:
        name: What was looked at.
        outcome: ``failed`` means that the toml needs it and it doesn't work.
        cause: What was seen.
        remedy: The exact command or edit that mends it.
    """

    name: str
    outcome: Literal["ok", "warning", "failed"]
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Progress:
    """A step of something long.

    Attributes:
        text: What is being done, in a few words.
        done: How far it has come, in the unit of ``total``.
        total: How far it goes; ``None`` while that is unknown.
    """

    text: str
    done: int | None = None
    total: int | None = None


@runtime_checkable
class HasBackgroundWork(Protocol):
    """A plugin of any kind with work of its own, supervised like a transport's ``run``."""

    async def run(self) -> None:
        """Work until cancelled; raising means being started again after a back-off."""
        ...
