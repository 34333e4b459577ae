"""What the stand-in model answers, and how an OpenAI-compatible API writes it down."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_RECALL = re.compile(r"what (did i|do you remember|was my)", re.IGNORECASE)
_REMINDER = re.compile(r"<(system-reminder|system)>.*?</\1>", re.DOTALL)
_LONGEST_ECHO = 2000


@dataclass(frozen=True)
class Say:
    """Answer with a text.

    Attributes:
        text: The whole answer.
        delay_between_chunks: In seconds.
        chunks: Exactly these pieces; otherwise the text is cut into words.
        thinking: Sent before, as the model's reasoning.
    """

    text: str
    delay_between_chunks: float = 0.0
    chunks: tuple[str, ...] | None = None
    thinking: str = ""

    def pieces(self) -> tuple[str, ...]:
        """Cut the answer into what one chunk carries."""
        return self.chunks if self.chunks is not None else tuple(re.findall(r"\s*\S+\s*", self.text)) or (self.text,)


@dataclass(frozen=True)
class Hang:
    """Say something, then nothing for some seconds, then the end. ``Cloud.release`` and closing shorten the silence."""

    seconds: float
    text: str = ""
    after: str = "and on"


@dataclass(frozen=True)
class Fail:
    """Refuse with a status and the API's error JSON."""

    status: int
    error_type: str = "server_error"
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CallTool:
    """Ask the agent to use one of its tools; what it sends back comes with the next completion."""

    name: str
    arguments: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Drop:
    """Close the connection in mid-answer."""

    text: str = "half an"


Reply = Say | Hang | Fail | CallTool | Drop


def text_of(message: Mapping[str, Any]) -> str:
    """Flatten a message's content."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def said_by_person(message: Mapping[str, Any]) -> str:
    """Give a user message without what the agent adds to it (reminders in tags); empty when nothing is left."""
    return _REMINDER.sub("", text_of(message)).strip() if message.get("role") == "user" else ""


def default_reply(body: Mapping[str, Any]) -> Say:
    """Show what the model was given.

    ``heard: …`` and the last thing said; after a tool call ``tool answered: …``; and for "what did I say", "what do
    you remember" or "what was my …" ``you said: …`` with all that was said before, so that a test sees the memory.
    """
    messages = body.get("messages", [])
    if messages and messages[-1].get("role") == "tool":
        return Say("tool answered: " + text_of(messages[-1])[:_LONGEST_ECHO])
    said = [text for message in messages if (text := said_by_person(message))]
    last = said[-1] if said else ""
    if _RECALL.search(last):
        return Say("you said: " + (" | ".join(said[:-1]) or "nothing"))
    return Say("heard: " + last[-_LONGEST_ECHO:])


@dataclass(frozen=True)
class Completion:
    """One answer being written: the parts that all its chunks share."""

    model: str
    prompt_tokens: int
    include_usage: bool
    id: str = field(default_factory=lambda: "chatcmpl-" + secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Completion:
        """Begin the answer to a request."""
        size = sum(len(text_of(message)) for message in body.get("messages", []))
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return cls(str(body.get("model", "")), max(1, size // 4), wants_usage)

    def opening(self) -> bytes:
        """Write the chunk that names the role."""
        return self._event({"role": "assistant", "content": ""})

    def delta(self, **fields: Any) -> bytes:
        """Write a chunk with a piece of the answer."""
        return self._event(fields)

    def closing(self, finish_reason: str, answer: str) -> Iterator[bytes]:
        """Write the end: the reason, the usage where it was asked for, and ``[DONE]``."""
        yield self._event({}, finish_reason, self._usage(answer))
        if self.include_usage:
            yield _sse({**self._frame("chat.completion.chunk"), "choices": [], "usage": self._usage(answer)})
        yield b"data: [DONE]\n\n"

    def whole(self, message: Mapping[str, Any], finish_reason: str) -> dict[str, Any]:
        """Write the answer without streaming."""
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
        usage = self._usage(message.get("content") or "")
        return {**self._frame("chat.completion"), "choices": [choice], "usage": usage}

    def _event(
        self, delta: Mapping[str, Any], finish: str | None = None, usage: Mapping[str, int] | None = None
    ) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
        if usage is not None:
            choice["usage"] = usage
        return _sse({**self._frame("chat.completion.chunk"), "choices": [choice]})

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _usage(self, answer: str) -> dict[str, int]:
        written = max(1, len(answer) // 4)
        total = self.prompt_tokens + written
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": written, "total_tokens": total}


def tool_call(reply: CallTool) -> dict[str, Any]:
    """Write a tool call in the API's form."""
    function = {"name": reply.name, "arguments": json.dumps(dict(reply.arguments))}
    return {"index": 0, "id": f"{reply.name}:{secrets.token_hex(3)}", "type": "function", "function": function}


def _sse(data: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
