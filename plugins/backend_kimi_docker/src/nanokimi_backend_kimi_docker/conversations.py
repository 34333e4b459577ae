"""Which conversation of the agent belongs to which chat: remembered where no agent can write."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from nanokimi_core import private_folder, safe_name, write_private

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True)
class Conversation:
    """An agent's session.

    Attributes:
        agent: That holds it.
        session: ACP's name of it.
        instructions: A digest of the instructions that it knows.
    """

    agent: str
    session: str
    instructions: str = ""


class Conversations:
    """A file for each chat.

    Args:
        folder: Private to the plugin's instance.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)

    def get(self, chat: str, agent: str) -> Conversation | None:
        """Give the chat's conversation with an agent, if there is one."""
        try:
            found = Conversation(**json.loads(self._file(chat, agent).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return found if is_plain(found.session) else None

    def put(self, chat: str, conversation: Conversation) -> None:
        """Remember a conversation in place of the one before."""
        write_private(self._file(chat, conversation.agent), json.dumps(asdict(conversation)).encode())

    def drop(self, chat: str, agent: str) -> None:
        """Forget a chat's conversation."""
        self._file(chat, agent).unlink(missing_ok=True)

    def _file(self, chat: str, agent: str) -> Path:
        return self._folder / f"{safe_name(chat)}.{agent}.json"


def is_plain(session: str) -> bool:
    """Whether an agent's name of a session is one that may stand in a path."""
    return _NAME.fullmatch(session) is not None
