"""A turn that is tried again: what of it the agent knows already is not put into the conversation a second time.

Before a prompt goes to the agent it is noted as ``Asked``. A turn is a repeated one when the core asks a noted message
again, under whatever turn. Then the agent's own record of the conversation tells whether the prompt ever got there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker.agents import AcpAgent
from nanokimi_backend_kimi_docker.conversations import Asked
from nanokimi_core import Inbound, Turn

_MOST_READ = 16 * 2**20
_MOST_NOTED = 20


@dataclass(frozen=True)
class Part:
    """What of a turn goes to the agent.

    Attributes:
        turn: What it does not know yet.
        reminder: One line on what it knows and has not answered; empty where that is nothing.
        standing: The prompts that hold what it knows.
    """

    turn: Turn
    reminder: str = ""
    standing: tuple[Asked, ...] = ()


def mark(message: Inbound) -> str:
    """Digest what makes a message that message; an edited one is another."""
    parts = (message.id, message.sender, message.text, message.quoted, *(file.name for file in message.attachments))
    return digest("\0".join(parts))


def digest(text: str) -> str:
    """Digest a text, however an agent may have changed its white space."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def asks_again(turn: Turn, asked: Iterable[Asked]) -> bool:
    """Whether a turn asks anything that was asked before."""
    return not {mark(message) for message in turn.messages}.isdisjoint(key for one in asked for key in one.messages)


def standing(agent: AcpAgent, home: Path, session: str, asked: Sequence[Asked]) -> tuple[Asked, ...]:
    """Give those prompts that stand in the agent's own record; none where it doesn't say.

    Args:
        agent: Whose record it is.
        home: Its home on the host. It can write there: at worst it deceives itself about what it was asked.
        session: ACP's name of the session.
        asked: What was noted.
    """
    pattern = agent.record_file(session)
    if pattern is None or not asked:
        return ()
    try:
        path = beneath.find(home, pattern)
        data = beneath.read(home, path, most=_MOST_READ, start=min(one.start for one in asked))
    except OSError:
        return ()
    heard = {digest(text) for text in _texts(agent, data)}
    return tuple(one for one in asked if one.text in heard)


def length(agent: AcpAgent, home: Path, session: str) -> int:
    """Count the bytes of the agent's own record of a session, as far as it has one."""
    pattern = agent.record_file(session)
    try:
        return 0 if pattern is None else beneath.size(home, beneath.find(home, pattern))
    except OSError:
        return 0


def part(turn: Turn, known: tuple[Asked, ...]) -> Part:
    """Say what of a turn has to go to an agent that knows some prompts already."""
    if not asks_again(turn, known):
        return Part(turn)
    order = [key for one in known for key in one.messages]
    said = {key for one in known for key in one.context}
    numbers = sorted(order.index(key) for key in map(mark, turn.messages) if key in order)
    fresh = tuple(message for message in turn.messages if mark(message) not in order)
    context = tuple(message for message in turn.context if mark(message) not in said)
    return Part(Turn(turn.id, fresh, context), _reminder(numbers, len(order), more=bool(fresh)), known)


def note(part: Part, text: str, start: int, instructions: str) -> tuple[Asked, ...]:
    """Give what is to be noted before a part of a turn goes to the agent as ``text``."""
    messages, context = part.turn.messages, part.turn.context
    if part.reminder and not messages and not context and not instructions:
        return part.standing
    new = Asked(digest(text), start, tuple(map(mark, messages)), tuple(map(mark, context)), instructions)
    return (*part.standing, new)[-_MOST_NOTED:]


def _reminder(numbers: Sequence[int], of: int, *, more: bool) -> str:
    if len(numbers) == of:
        which = "the last message" if of == 1 else f"the last {of} messages"
        rest = ""
    else:
        which = f"number {', '.join(str(number + 1) for number in numbers)} of the last {of} messages"
        rest = " Leave the other messages as they are."
    then = " Then go on with what follows." if more else ""
    return (
        f"[No answer to {which} has reached the chat: it got lost on its way. Give it now, in full. "
        f"What you have done for it already need not be done again.{rest}{then}]"
    )


def _texts(agent: AcpAgent, data: bytes) -> Iterable[str]:
    for line in data.splitlines():
        if b'"user"' not in line:
            continue
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            continue
        content = agent.heard(parsed) if isinstance(parsed, dict) else None
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            parts = [one.get("text") for one in content if isinstance(one, dict)]
            yield "\n".join(text for text in parts if isinstance(text, str))
