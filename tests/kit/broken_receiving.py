"""Transports with one fault each, in what they bring; ``FAULTS`` names the check that is meant for each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from anyio.abc import SocketStream

from nanokimi_core import Attachment, Inbound, Inbox, NotAccepted

from .transports import Pigeon


class MangledChat(Pigeon):
    def inbound(self, news: dict[str, Any]) -> Inbound:
        return replace(super().inbound(news), chat=news["chat"].replace("roof", "#roof"))


class NaiveTime(Pigeon):
    def time(self, at: str) -> datetime:
        return datetime.fromisoformat(at).replace(tzinfo=None)


class SwappedOrder(Pigeon):
    """Keeps one message of many back until the next one has been delivered."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.back: dict[str, Any] | None = None

    async def take(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        if news.get("text") == "number 14" and self.back is None:
            self.back = news
            return
        await super().take(inbox, stream, news)
        if news.get("text") == "number 15" and self.back is not None:
            await super().take(inbox, stream, self.back)


class IdOfText(Pigeon):
    """Two messages with the same text are one to it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ids: dict[str, str] = {}

    def identity(self, news: dict[str, Any]) -> str:
        return self.ids.setdefault(hashlib.sha256(news["text"].encode()).hexdigest(), super().identity(news))


class NewIdEachTime(Pigeon):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.times: Counter[str] = Counter()

    def identity(self, news: dict[str, Any]) -> str:
        self.times[news["id"]] += 1
        return f"{news['id']}{'+' * (self.times[news['id']] - 1)}"


class NeverAcknowledges(Pigeon):
    async def acknowledge(self, stream: SocketStream, news: dict[str, Any]) -> None:
        pass


class AcknowledgesFirst(Pigeon):
    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        await self.acknowledge(stream, news)
        await inbox.deliver(self.inbound(news))


class AcknowledgesWhateverHappens(Pigeon):
    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        try:
            await inbox.deliver(self.inbound(news))
        finally:
            await self.acknowledge(stream, news)


class SwallowsRefusals(Pigeon):
    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        try:
            await super().message(inbox, stream, news)
        except NotAccepted as error:
            self.log.warning("%s", error)


class WrapsRefusals(Pigeon):
    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        try:
            await super().message(inbox, stream, news)
        except NotAccepted as error:
            raise RuntimeError("a message could not be delivered") from error


class RemembersTooEarly(Pigeon):
    """Notes that it knows a message before it is kept."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.known: set[str] = set()

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        if news["id"] not in self.known:
            self.known.add(news["id"])
            await super().message(inbox, stream, news)


class DropsTheBacklog(Pigeon):
    """Takes what was written before it connected for old news."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.known: set[str] = set()
        self.connected_at = ""

    async def take(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        if news["is"] == "welcome":
            self.connected_at = news["at"]
        await super().take(inbox, stream, news)

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        if news["at"] > self.connected_at or news["id"] in self.known:
            self.known.add(news["id"])
            await super().message(inbox, stream, news)


class EditsAreMessages(Pigeon):
    def inbound(self, news: dict[str, Any]) -> Inbound:
        message = super().inbound(news)
        return replace(message, event="message", target=None) if message.event == "edit" else message


class RevocationsOfNothing(Pigeon):
    def inbound(self, news: dict[str, Any]) -> Inbound:
        message = super().inbound(news)
        return replace(message, target=None) if message.event == "revoke" else message


class ReactionsUnderTheirTarget(Pigeon):
    def inbound(self, news: dict[str, Any]) -> Inbound:
        message = super().inbound(news)
        return replace(message, id=message.target or "") if message.event == "reaction" else message


class MissesMentions(Pigeon):
    def inbound(self, news: dict[str, Any]) -> Inbound:
        return replace(super().inbound(news), mentions_me=False)


class ThreadOfEverything(Pigeon):
    def inbound(self, news: dict[str, Any]) -> Inbound:
        message = super().inbound(news)
        return replace(message, thread=message.thread or "main")


class TakesItselfForAnother(Pigeon):
    def is_mine(self, news: dict[str, Any]) -> bool:
        return bool(news["chat"] == "kai")


class OwnerIsNobody(Pigeon):
    def owner_chat(self) -> str | None:
        return None


class FilesOutside(Pigeon):
    def path(self, own: str, name: str) -> Path:
        return self.folder.parent / f"file-{own}"


class WrongSizes(Pigeon):
    def attachment(self, news: dict[str, Any], number: int, file: list[str]) -> Attachment:
        return replace(super().attachment(news, number, file), size=len(file[1]))


class NamesAsPaths(Pigeon):
    def path(self, own: str, name: str) -> Path:
        return self.folder / name


class WaitsAfterGarbage(Pigeon):
    def read(self, line: bytes) -> dict[str, Any]:
        try:
            return super().read(line)
        except (ValueError, RecursionError):
            self.deaf = True
            return {"is": "nothing"}

    deaf = False

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        if not self.deaf:
            await super().message(inbox, stream, news)


class ReturnsAfterGarbage(Pigeon):
    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except json.JSONDecodeError:
            return


FAULTS = {
    MangledChat: "delivers what somebody writes",
    NaiveTime: "gives each field its type",
    SwappedOrder: "keeps the order",
    IdOfText: "gives no id twice",
    NewIdEachTime: "knows a message that comes again",
    NeverAcknowledges: "acknowledges what was kept",
    AcknowledgesFirst: "acknowledges nothing else",
    AcknowledgesWhateverHappens: "acknowledges nothing else",
    SwallowsRefusals: "lets a refusal out of run",
    WrapsRefusals: "lets a refusal out of run",
    RemembersTooEarly: "delivers again what was not kept",
    DropsTheBacklog: "brings what was written while it was away",
    EditsAreMessages: "brings an edit",
    RevocationsOfNothing: "brings a revocation",
    ReactionsUnderTheirTarget: "brings a reaction",
    MissesMentions: "notices a mention",
    ThreadOfEverything: "tells threads apart",
    TakesItselfForAnother: "knows its own messages",
    OwnerIsNobody: "knows its owners chat",
    FilesOutside: "brings files",
    WrongSizes: "brings files",
    NamesAsPaths: "takes no name for a path",
    WaitsAfterGarbage: "survives garbage",
    ReturnsAfterGarbage: "survives garbage",
}
