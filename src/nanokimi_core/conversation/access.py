"""Whether a message gets in, and whether it is one to answer."""

from __future__ import annotations

import re
from functools import lru_cache

from nanokimi_core.config import ChatRules
from nanokimi_core.messages import Inbound


def chat_ids(transport: str, message: Inbound) -> tuple[str, ...]:
    """Name a message's chat as rules do, ``transport:chat``, its aliases after it."""
    return tuple(f"{transport}:{chat}" for chat in (message.chat, *sorted(message.chat_aliases)))


def is_triggered(message: Inbound, rules: ChatRules, assistant: str) -> bool:
    """Whether the assistant answers this message. Without a rule: direct chats always, groups when mentioned."""
    trigger = rules.trigger or ("mention" if message.kind == "group" else "always")
    if trigger == "mention":
        return message.mentions_me or names(assistant, message.text)
    return trigger == "always"


def names(assistant: str, text: str) -> bool:
    """Whether the assistant's name stands in a text as a word of its own.

    A neighbouring letter of the same kind of script makes it a part of another word. Scripts that write words
    without spaces between them can stand right beside it.
    """
    return bool(_name_pattern(assistant).search(text))


@lru_cache(maxsize=16)
def _name_pattern(assistant: str) -> re.Pattern[str]:
    spaced = r"[^\W\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3040-\u30FF\u3400-\u9FFF\uF900-\uFAFF]"
    name = re.escape(assistant)
    before = f"(?<!{spaced})" if re.match(spaced, assistant[0]) else ""
    after = f"(?!{spaced})" if re.match(spaced, assistant[-1]) else ""
    return re.compile(before + name + after, re.IGNORECASE)
