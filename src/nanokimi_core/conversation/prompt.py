"""The text that an agent is asked: who said what, when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nanokimi_core.contracts.backend import Turn
from nanokimi_core.messages import Inbound

_NAME_LENGTH = 60


def prompt_text(turn: Turn, *, show_path: Callable[[Path], str] = str) -> str:
    """Write a turn down as one prompt.

    Each message stands after its sender and time in square brackets. So nothing that a person types, their name
    included, is ever the prompt's first character: agents take a leading ``/`` as a command to themselves.

    Args:
        turn: What is asked.
        show_path: Gives the path under which the agent finds an attachment, from its path on the host.
    """
    parts = []
    if turn.context:
        parts.append(
            "[Said before, for your information]\n" + "\n".join(_line(message, show_path) for message in turn.context)
        )
    parts.extend(_line(message, show_path) for message in turn.messages)
    return "\n\n".join(parts)


def _line(message: Inbound, show_path: Callable[[Path], str]) -> str:
    name = " ".join((message.sender_name or message.sender).split()).replace("]", ")")[:_NAME_LENGTH]
    when = f", {message.at:%Y-%m-%d %H:%M %Z}".rstrip() if message.at else ""
    lines = [f"[{name}{when}] {message.text}"]
    if message.quoted:
        lines.append("[in reply to] " + message.quoted)
    lines.extend(
        f"[file] {show_path(file.path)} ({file.media_type}, {file.size} bytes)" for file in message.attachments
    )
    return "\n".join(lines)
