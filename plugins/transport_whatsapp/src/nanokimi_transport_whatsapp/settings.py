"""The table ``[plugins.whatsapp]``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nanokimi_core import matching, refuse


def _command(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) and word for word in value) or not value:
        raise refuse('must be a command as a list of words, such as ["whisper-cli", "{file}"]')
    if not any("{file}" in word for word in value):
        raise refuse('must have "{file}" in one of its words, where the voice note\'s path goes')
    return tuple(value)


ProxyUrl = Annotated[str, matching(r"(https?|socks5)://[!-~]+", "must be a URL such as http://127.0.0.1:3128")]


class Settings(BaseModel):
    """What a person can set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: Literal["own", "bot"] | None = Field(
        default=None,
        description='Whose number is linked: "own" (yours) or "bot" (one for the assistant); link asks, and keeps it.',
    )
    self_chat: bool | None = Field(
        default=None, description="Whether you talk to it in the chat with yourself; unless told, with your own number."
    )
    presence: Literal["unavailable", "available"] = Field(
        default="unavailable",
        description='"available" shows the account as online, and silences its phone; only then it hears who types.',
    )
    read_receipts: bool | None = Field(
        default=None, description="Whether senders see blue ticks; unless told, only with a number of the bot's own."
    )
    ai_label: bool = Field(default=True, description="Whether WhatsApp labels direct messages as written by a machine.")
    per_minute: int = Field(default=20, ge=1, le=600, strict=True, description="Messages a minute, all chats together.")
    per_minute_chat: int = Field(default=60, ge=1, le=600, strict=True, description="Messages a minute to one chat.")
    burst: int = Field(default=3, ge=1, le=20, strict=True, description="Messages that may go at once.")
    reply_only: bool = Field(
        default=True,
        description="Whether only chats that have written are written to; others get accounts banned.",
    )
    resend: Literal["resend", "hold"] = Field(
        default="resend",
        description='A message that may have gone out when the child died: "resend" (it may come twice) or "hold".',
    )
    max_media: int = Field(
        default=64, ge=1, le=1024, strict=True, description="The largest file that is fetched, in MB."
    )
    transcribe: Annotated[tuple[str, ...] | None, BeforeValidator(_command)] = Field(
        default=None, description='A command that writes a voice note down, such as ["whisper-cli", "{file}"].'
    )
    transcribe_seconds: int = Field(
        default=120, ge=1, le=3600, strict=True, description="How long that command may take."
    )
    spool_limit: int = Field(
        default=10_000, ge=10, strict=True, description="Messages that may wait on disk; then WhatsApp is left alone."
    )
    device: Annotated[str, matching(r"[ -~]{1,30}", "must be 1 to 30 plain characters")] = Field(
        default="NanoKimi", description="What the phone shows under its linked devices."
    )
    proxy: (
        Annotated[str, matching(r"(https?|socks5)://[!-~]+", "must be a URL such as http://127.0.0.1:8080")] | None
    ) = Field(default=None, description="A proxy for the connection to WhatsApp.")

    connect_seconds: float = Field(default=90, gt=0, description="How long connecting may take.")
    paired_seconds: float = Field(default=30, gt=0, description="How long after pairing the connection may take.")
    away_seconds: float = Field(
        default=300, gt=0, description="How long a lost connection may take to come back before it is begun anew."
    )
    first_retry: float = Field(default=2, gt=0, description="The first wait before connecting again; it doubles.")
    longest_retry: float = Field(default=300, gt=0, description="The longest wait before connecting again.")
