"""Transports with one fault each, in what they send; ``FAULTS`` names the check that is meant for each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from nanokimi_core import NotSent, Outbound, Receipt, Traits, Undeliverable

from .transports import Pigeon


class PlainSend(Pigeon):
    def send(self, message: Outbound) -> Coroutine[Any, Any, Receipt | None]:
        return super().send(message)


class MembersOfNothing(Pigeon):
    async def members(self) -> list[str]:
        return ["anna"]


class UnknownMarkup(Pigeon):
    traits = replace(Pigeon.traits, markup="html")  # type: ignore[arg-type]


class ShownTwice(Pigeon):
    async def send(self, message: Outbound) -> Receipt | None:
        if message.reply_to is not None:
            await super().send(replace(message, key=f"{message.key}-quoted"))
        return await super().send(message)


class IdForReceipt(Pigeon):
    async def send(self, message: Outbound) -> Receipt | None:
        receipt = await super().send(message)
        return receipt and receipt.network_id  # type: ignore[return-value]


class LastFirst(Pigeon):
    """Keeps the fifth message back until the next one has been sent."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.number = 0
        self.back: Outbound | None = None

    async def send(self, message: Outbound) -> Receipt | None:
        self.number += 1
        if self.number == 5:
            self.back = message
            return None
        receipt = await super().send(message)
        if self.back is not None:
            back, self.back = self.back, None
            await super().send(back)
        return receipt


class OneAtATime(Pigeon):
    """Says that it can send several at once, and has room for one answer."""

    async def send(self, message: Outbound) -> Receipt | None:
        if self.answers:
            raise RuntimeError("another message is on its way")
        return await super().send(message)


class ObeysTexts(Pigeon):
    def letter(self, message: Outbound) -> dict[str, Any]:
        return {**super().letter(message), "text": message.text.removeprefix("/")}


class CutsTexts(Pigeon):
    def letter(self, message: Outbound) -> dict[str, Any]:
        return {**super().letter(message), "text": message.text[:2000]}


class CountsCharactersForBytes(Pigeon):
    """Its network counts bytes, as it says; it counts characters."""

    traits = Traits(max_text=900, measure="bytes", concurrent_sends=True, draft_interval=0)

    def letter(self, message: Outbound) -> dict[str, Any]:
        return {**super().letter(message), "text": message.text.encode()[:898].decode(errors="ignore")}


class JoinsLines(Pigeon):
    def letter(self, message: Outbound) -> dict[str, Any]:
        return {**super().letter(message), "text": " ".join(message.text.split("\n"))}


class NewKeyEachTime(Pigeon):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.times: Counter[str] = Counter()

    def letter(self, message: Outbound) -> dict[str, Any]:
        self.times[message.key] += 1
        letter = super().letter(message)
        key = f"{message.key}{'+' * (self.times[message.key] - 1)}"
        self.answers[key] = self.answers[message.key]
        return {**letter, "key": key}


class PretendsToSend(Pigeon):
    async def send(self, message: Outbound) -> Receipt | None:
        return await super().send(message) if self.stream is not None else None


class OtherErrorWithoutALine(Pigeon):
    async def send(self, message: Outbound) -> Receipt | None:
        if self.stream is None:
            raise ConnectionError("the line is down")
        return await super().send(message)


class SilentAboutTheTime(Pigeon):
    def receipt(self, news: dict[str, Any] | None) -> Receipt:
        try:
            return super().receipt(news)
        except NotSent as error:
            raise NotSent(str(error)) from None


class SecondsForMinutes(Pigeon):
    def receipt(self, news: dict[str, Any] | None) -> Receipt:
        try:
            return super().receipt(news)
        except NotSent as error:
            raise NotSent(str(error), retry_after=(error.retry_after or timedelta()) * 60) from None


class HopesForEver(Pigeon):
    def receipt(self, news: dict[str, Any] | None) -> Receipt:
        try:
            return super().receipt(news)
        except Undeliverable as error:
            raise NotSent(str(error)) from None


class SureOfNothing(Pigeon):
    def receipt(self, news: dict[str, Any] | None) -> Receipt:
        try:
            return super().receipt(news)
        except ConnectionError as error:
            raise NotSent(str(error)) from None


class HalfLines(Pigeon):
    """Can be cancelled between two halves of an answer's line."""

    async def write(self, stream: SocketStream, value: dict[str, Any]) -> None:
        if value["do"] in ("draft", "typing"):
            return await super().write(stream, value)
        line = json.dumps(value).encode() + b"\n"
        async with self.writing:
            await stream.send(line[:10])
            for _ in range(3):
                await checkpoint()
            await stream.send(line[10:])


class DraftAfterDraft(Pigeon):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.times: Counter[str] = Counter()

    async def draft(self, message: Outbound) -> None:
        self.times[message.key] += 1
        await super().draft(replace(message, key=f"{message.key}{'+' * (self.times[message.key] - 1)}"))


class DraftUnderAnotherKey(Pigeon):
    async def draft(self, message: Outbound) -> None:
        await super().draft(replace(message, key=f"draft-{message.key}"))


class SendsTheRestOfADraft(Pigeon):
    """Takes what it was given as a draft for seen, whether it was or not."""

    drafted = ""

    async def draft(self, message: Outbound) -> None:
        if self.stream is None:
            self.drafted = message.text
        await super().draft(message)

    def letter(self, message: Outbound) -> dict[str, Any]:
        drafted, self.drafted = self.drafted, ""
        return {**super().letter(message), "text": message.text.removeprefix(drafted)}


class TypesOn(Pigeon):
    async def typing(self, chat: str, on: bool) -> None:
        if on:
            await super().typing(chat, on)


class TellsTwoLines(Pigeon):
    def state(self) -> str:
        return f"{super().state()}\nlast heard of {self.port}"


class LosesThreads(Pigeon):
    def letter(self, message: Outbound) -> dict[str, Any]:
        return {**super().letter(message), "thread": None}


class LosesFiles(Pigeon):
    def letter(self, message: Outbound) -> dict[str, Any]:
        return {**super().letter(message), "files": []}


FAULTS = {
    PlainSend: "has its methods",
    MembersOfNothing: "has its methods",
    UnknownMarkup: "has traits that make sense",
    ShownTwice: "shows what is sent",
    IdForReceipt: "gives a receipt or nothing",
    LastFirst: "sends in order",
    OneAtATime: "sends several at once",
    ObeysTexts: "shows a text as it is",
    CutsTexts: "takes the longest text",
    CountsCharactersForBytes: "takes the longest text",
    JoinsLines: "keeps the lines of a text",
    NewKeyEachTime: "shows a key once",
    PretendsToSend: "does not pretend to have sent",
    OtherErrorWithoutALine: "does not pretend to have sent",
    SilentAboutTheTime: "says when to try again",
    SecondsForMinutes: "says when to try again",
    HopesForEver: "says what will never be accepted",
    SureOfNothing: "does not say not sent of what it cannot know",
    HalfLines: "survives a send that is cancelled",
    DraftAfterDraft: "shows a draft",
    DraftUnderAnotherKey: "replaces the draft by the answer",
    SendsTheRestOfADraft: "bears drafts without a connection",
    TypesOn: "shows typing and ends it",
    TellsTwoLines: "tells its state",
    LosesThreads: "answers in the thread",
    LosesFiles: "sends files",
}
