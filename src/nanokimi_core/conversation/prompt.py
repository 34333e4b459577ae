"""The text that an agent is asked: who said what, when."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nanokimi_core.contracts.backend import Turn
from nanokimi_core.messages import Attachment, Inbound

LONGEST_QUOTE = 500
"""Characters of a quoted message."""
LONGEST_CONTEXT_MESSAGE = 2000
"""Characters of one message of context."""
LONGEST_CONTEXT = 20_000
"""Characters of all context; where there is more, the latest of it is shown."""

_NAME_LENGTH = 60
_FILES_OF_CONTEXT = 10
_UNSEEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")
_DONE = {"message": "", "edit": "(edited) ", "revoke": "(took back a message) ", "reaction": "(reacted) "}

_ShowPath = Callable[[Path], str]


def prompt_text(turn: Turn, *, show_path: _ShowPath = str) -> str:
    """Write a turn down as one prompt.

    Each message stands after its sender and time in square brackets. So nothing that a person types, their name
    included, is ever the prompt's first character: agents take a leading ``/`` as a command to themselves. A line of a
    message that begins with a bracket is set off by a space, so that nobody can speak in somebody else's name.

    Messages are given whole. Of quotes there are at most 500 characters, of a message of context 2,000, and of all
    context 20,000: where there is more, the latest is shown, after a line that counts what is left out.

    Args:
        turn: What is asked.
        show_path: Gives the path under which the agent finds an attachment, from its path on the host.
    """
    said = [_entry(message, message.text, message.attachments, show_path) for message in turn.messages]
    if turn.context:
        said.insert(0, "\n".join(["[Said before, for your information]", *_context(turn.context, show_path)]))
    return "\n\n".join(said)


def _context(messages: Sequence[Inbound], show_path: _ShowPath) -> list[str]:
    """Write context down, the latest of it that fits."""
    entries: list[str] = []
    room = LONGEST_CONTEXT
    for message in reversed(messages):
        text = _cut(message.text, LONGEST_CONTEXT_MESSAGE)
        entry = _entry(message, text, message.attachments[:_FILES_OF_CONTEXT], show_path)
        room -= len(entry) + 1
        if room < 0:
            entries.append(f"[… {len(messages) - len(entries)} earlier messages left out]")
            break
        entries.append(entry)
    return entries[::-1]


def _entry(message: Inbound, text: str, files: Sequence[Attachment], show_path: _ShowPath) -> str:
    name = " ".join(_UNSEEN.sub(" ", message.sender_name or message.sender).split()).replace("]", ")")[:_NAME_LENGTH]
    when = f", {message.at:%Y-%m-%d %H:%M %Z}".rstrip() if message.at else ""
    lines = [f"[{name}{when}] {_DONE[message.event]}{_set_off(text)}".rstrip()]
    if message.quoted:
        about = "in reply to" if message.event == "message" else "about"
        lines.append(f"[{about}] {_set_off(_cut(message.quoted, LONGEST_QUOTE))}")
    lines.extend(f"[file] {show_path(file.path)} ({_one_line(file.media_type)}, {file.size} bytes)" for file in files)
    return "\n".join(lines)


def _set_off(text: str) -> str:
    """Set lines that begin like an entry of the prompt off by a space."""
    first, *rest = text.splitlines() or [""]
    return "\n".join([first, *(f" {line}" if line.lstrip().startswith("[") else line for line in rest)])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_NAME_LENGTH]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
