"""One tree of errors.

    NanoKimiError                 one sentence for a person: which thing, what is wrong, what to do
    ├── ConfigError               nanokimi.toml, the environment, a file that they name
    ├── PluginError               a plugin that is missing, broken, or gives something else than it should
    ├── FolderInUse               another process holds the data folder
    ├── CommandError              a command can't do what was asked
    ├── NotAccepted               a message could not be kept
    └── NetworkAway               raised by ``Transport.run``: the network can't be reached now
    NotSent                       raised by ``Transport.send``: certainly not sent, try again
    Undeliverable                 raised by ``Transport.send``: will never be accepted
    AgentError                    raised by a backend: a turn failed, with a ``Failure`` that says why
    LoginNeeded                   raised by ``Auth.grant``: no valid credentials
    └── AccountAway               none at the moment, and nobody needs to do anything

Only the first branch is the core's own; the others are the words in which plugins speak to it. Any other exception
out of a plugin is a fault of that plugin.
"""

from __future__ import annotations

import enum
from datetime import timedelta


class NanoKimiError(Exception):
    """Base of the errors that a command shows as one sentence on stderr.

    Args:
        message: Which thing is wrong, and how.
        remedy: What to do about it, as an order or a command line.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class ConfigError(NanoKimiError):
    """A setting that can't be used: in nanokimi.toml, the environment, or a file that they name."""

    exit_code = 2


class PluginError(NanoKimiError):
    """A plugin that is missing, can't be loaded, or breaks its contract."""

    exit_code = 3


class FolderInUse(NanoKimiError):
    """The data folder belongs to another running process."""

    exit_code = 4


class CommandError(NanoKimiError):
    """A command can't do what was asked of it."""


class NotAccepted(NanoKimiError):
    """A message could not be kept; its transport must not acknowledge it."""


class NetworkAway(NanoKimiError):
    """Raised by ``Transport.run``: its network can't be reached now, which is nobody's fault.

    The transport is started again after a back-off, as after a fault. The log gets a warning each time, the owner a
    word when it has been so for a minute.
    """


class NotSent(Exception):
    """Certainly not sent; it will be tried again, after ``retry_after`` where the network said so."""

    def __init__(self, why: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Undeliverable(Exception):
    """The network will never accept this message (blocked, too large, forbidden)."""


class Failure(enum.Enum):
    """Why a turn failed.

    ``outside`` causes lie outside the message: they give the attempt back and hold the chat's lane until they pass.
    """

    CREDENTIALS = "credentials"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    ENGINE = "engine"
    MODEL = "model"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    SILENT = "silent"
    TOO_LONG = "too_long"
    NO_ANSWER = "no_answer"

    @property
    def outside(self) -> bool:
        """Whether the cause lies outside the message that met it."""
        return self in _OUTSIDE


_OUTSIDE = frozenset({Failure.CREDENTIALS, Failure.QUOTA, Failure.RATE_LIMIT, Failure.ENGINE, Failure.MODEL})


class AgentError(Exception):
    """A turn failed.

    Args:
        kind: Chooses the sentence that the chat gets.
        detail: The cause, for the owner; no secret in it.
        remedy: What the owner can do.
        retry_after: How long to wait, where somebody said so.
    """

    def __init__(self, kind: Failure, detail: str, *, remedy: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.remedy = remedy
        self.retry_after = retry_after


class LoginNeeded(Exception):
    """No valid credentials; the text says what the owner must do."""


class AccountAway(LoginNeeded):
    """No valid credentials at the moment: the login server is away or busy. Nobody needs to log in.

    Args:
        why: The cause, for the owner.
        retry_after: How long to wait, where somebody said so.
    """

    def __init__(self, why: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after
