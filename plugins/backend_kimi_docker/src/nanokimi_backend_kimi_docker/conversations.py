"""Which conversation of the agent belongs to which chat: remembered where no agent can write."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nanokimi_backend_kimi_docker.failures import writing
from nanokimi_core import private_folder, safe_name, write_private

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True)
class Asked:
    """A prompt, noted before it goes to the agent: perhaps it never gets there, perhaps its answer never comes back.

    Attributes:
        text: A digest of its text.
        start: How many bytes the agent's own record of the conversation had before.
        messages: The marks of the messages that it asks, in order.
        context: The marks of the messages that were said before.
        instructions: A digest of the instructions that it tells; empty where it tells none.
    """

    text: str
    start: int
    messages: tuple[str, ...]
    context: tuple[str, ...] = ()
    instructions: str = ""


@dataclass(frozen=True)
class Conversation:
    """An agent's session.

    Attributes:
        agent: That holds it.
        session: ACP's name of it.
        instructions: A digest of the instructions that it knows.
        asked: The last question. More than one where another was added before the first was answered.
    """

    agent: str
    session: str
    instructions: str = ""
    asked: tuple[Asked, ...] = ()


class Conversations:
    """A file for each chat; used from several threads.

    Args:
        folder: Private to the plugin's instance.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()

    def get(self, chat: str, agent: str) -> Conversation | None:
        """Give the chat's conversation with an agent, if there is one.

        Raises:
            AgentError: The data folder can't be read.
        """
        with writing():
            try:
                found = _conversation(json.loads(self._file(chat, agent).read_text()))
            except (FileNotFoundError, ValueError, TypeError, KeyError):
                return None
        return found if is_plain(found.session) else None

    def put(self, chat: str, conversation: Conversation) -> None:
        """Remember a conversation in place of the one before; it is on disk when this returns.

        Raises:
            AgentError: The data folder can't be written.
        """
        with self._lock, writing():
            private_folder(self._folder)
            write_private(self._file(chat, conversation.agent), json.dumps(asdict(conversation)).encode())

    def change(self, chat: str, conversation: Conversation) -> None:
        """Remember more of a conversation, unless it was forgotten meanwhile; it is on disk when this returns.

        Raises:
            AgentError: The data folder can't be written.
        """
        with self._lock:
            known = self.get(chat, conversation.agent)
            if known is not None and known.session == conversation.session:
                self.put(chat, conversation)

    def drop(self, chat: str, agent: str) -> None:
        """Forget a chat's conversation.

        Raises:
            AgentError: The data folder can't be written.
        """
        with self._lock, writing():
            self._file(chat, agent).unlink(missing_ok=True)

    def _file(self, chat: str, agent: str) -> Path:
        return self._folder / f"{safe_name(chat)}.{agent}.json"


def is_plain(session: str) -> bool:
    """Whether an agent's name of a session is one that may stand in a path."""
    return _NAME.fullmatch(session) is not None


def _conversation(stored: dict[str, Any]) -> Conversation:
    return Conversation(**{**stored, "asked": tuple(_asked(one) for one in stored.get("asked", ()))})


def _asked(stored: dict[str, Any]) -> Asked:
    return Asked(**{**stored, "messages": tuple(stored["messages"]), "context": tuple(stored["context"])})
