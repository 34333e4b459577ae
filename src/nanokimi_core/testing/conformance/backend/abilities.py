"""What the rig of a backend may be able to do, each a protocol of its own; checks that need it apply then.

``spec`` is all that a rig must have: what the checks ask by themselves, an agent of any kind understands.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol, runtime_checkable

from nanokimi_core.errors import Failure
from nanokimi_core.messages import Attachment


@runtime_checkable
class HoldsAnswers(Protocol):
    """An agent that can be made to stand still in the middle of an answer."""

    async def hold(self) -> None:
        """Let the next answer begin with words that no other answer has, and then stand still until ``let_go``."""
        ...

    async def held(self) -> bool:
        """Say whether an answer stands still now."""
        ...

    async def let_go(self) -> None:
        """Let every answer that stands still go on to its end, whether anybody still listens or not."""
        ...


@runtime_checkable
class BringsFailures(Protocol):
    """An agent, or a server behind it, that can be made to fail."""

    def failures(self) -> Collection[Failure]:
        """Give the kinds that ``bring_about`` can bring about: all that this backend can meet."""
        ...

    async def bring_about(self, failure: Failure) -> timedelta | None:
        """Let every turn fail in this way until ``mend``; give how long the server says to wait, where it does."""
        ...

    async def mend(self) -> None:
        """Let turns go well again."""
        ...


@runtime_checkable
class HearsQuestions(Protocol):
    """An agent whose conversation can be looked at."""

    async def asked(self) -> Sequence[str]:
        """Give all that people have said in the conversation in which the agent was asked last, oldest first."""
        ...


@runtime_checkable
class SeesKeys(Protocol):
    """A server that knows with which key it was asked."""

    async def key_seen(self) -> str:
        """Give the key that came with the last question."""
        ...


@runtime_checkable
class SeesInstructions(Protocol):
    """An agent whose instructions can be looked at."""

    async def instructed(self) -> str:
        """Give all that the agent was told with the last question, its instructions included."""
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """An agent that can read the files of its chat's workspace."""

    async def reading(self, file: Attachment) -> str:
        """Give a question that makes the agent say what is in a file; it is asked next, and the file comes with it."""
        ...
