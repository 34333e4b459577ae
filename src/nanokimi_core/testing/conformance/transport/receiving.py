"""What the contract wants of a transport that brings messages."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import get_args

import anyio

from nanokimi_core.errors import NotAccepted
from nanokimi_core.messages import Attachment, ChatKind, Inbound
from nanokimi_core.testing.conformance.checks import check, expect, until, whether
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.abilities import BringsAgain, SeesAcknowledgements
from nanokimi_core.testing.conformance.transport.driven import Driven, connected, driven

_EVENTS = ("message", "edit", "revoke", "reaction")
_TEXTS = ("id", "chat", "sender", "text", "sender_name", "chat_name", "quoted")
_PERHAPS = ("target", "thread", "reply_to")
_MANY = 20


class _Again(TransportRig, BringsAgain): ...


class _Acknowledged(TransportRig, SeesAcknowledgements): ...


@check("transport")
async def says_that_it_is_connected(rig: TransportRig) -> None:
    """When its network is connected, run calls inbox.ready(): what is owed goes out then."""
    async with connected(rig):
        pass


@check("transport")
async def delivers_what_somebody_writes(rig: TransportRig) -> None:
    """What somebody writes is delivered once: with its text, its chat, and who wrote it."""
    async with connected(rig) as it:
        for text in ("good morning", "¿qué tal? 你好 🙂", "the last"):
            message = await it.hear(text)
            expect(message.chat == rig.chat, f'chat is "{message.chat}", not "{rig.chat}"')
            expect(message.sender, "sender is empty")
            expect(message.event == "message", f"a message came as an event of the kind {message.event!r}")
            expect(not message.from_me, "from_me is set on somebody else's message")
        expect(len(it.record.kept) == 3, f"three messages were written, and {it.record.texts()} delivered")


@check("transport")
async def gives_each_field_its_type(rig: TransportRig) -> None:
    """Text is str, aliases are frozensets of it, attachments a tuple, and a time has its zone."""
    async with connected(rig) as it:
        _check_types(await it.hear("good morning"))


def _check_types(message: Inbound) -> None:
    expect(isinstance(message, Inbound), f"deliver() was given a {type(message).__name__}, not an Inbound")
    for name in _TEXTS:
        value = getattr(message, name)
        expect(isinstance(value, str), f"{name} is {value!r:.60}, not a str")
    for name in _PERHAPS:
        value = getattr(message, name)
        expect(value is None or isinstance(value, str), f"{name} is {value!r:.60}, neither a str nor None")
    for name in ("sender_aliases", "chat_aliases"):
        value = getattr(message, name)
        strings = isinstance(value, frozenset) and all(isinstance(each, str) for each in value)
        expect(strings, f"{name} is {value!r:.60}, not a frozenset of str")
    for name in ("backlog", "mentions_me", "from_me", "shared_account"):
        value = getattr(message, name)
        expect(isinstance(value, bool), f"{name} is {value!r:.60}, not a bool")
    expect(message.event in _EVENTS, f"event is {message.event!r:.60}")
    expect(message.kind in get_args(ChatKind), f"kind is {message.kind!r:.60}")
    files = isinstance(message.attachments, tuple) and all(isinstance(each, Attachment) for each in message.attachments)
    expect(files, f"attachments is {message.attachments!r:.60}, not a tuple of Attachments")
    if message.at is not None:
        expect(isinstance(message.at, datetime), f"at is {message.at!r:.60}, not a datetime")
        expect(message.at.utcoffset() is not None, f"at is {message.at!r:.60}, without a time zone")


@check("transport")
async def keeps_the_order(rig: TransportRig) -> None:
    """Messages are delivered in the order in which they were written."""
    async with connected(rig) as it:
        texts = [f"number {number}" for number in range(_MANY)]
        for text in texts:
            await rig.write(text)
        await it.heard(texts[-1])
        await it.until(lambda: len(it.record.kept) >= _MANY, lambda: f"of {texts}, {it.record.texts()} was delivered")
        expect(it.record.texts() == texts, f"{texts} came as {it.record.texts()}")


@check("transport")
async def gives_no_id_twice(rig: TransportRig) -> None:
    """Each message has an id of its own within its chat for ever, also after a restart."""
    earlier: set[str] = set()
    for text in ("again", "anew"):
        async with connected(rig) as it:
            for _ in range(3):
                await rig.write(text)

            def ids(it: Driven = it, text: str = text) -> list[str]:
                return [message.id for message in it.record.kept if message.text == text]

            said = 'three times "{}" was written, and the ids are {}'
            await it.until(lambda: len(set(ids())) >= 3, lambda: said.format(text, ids()))  # noqa: B023
        expect(all(ids()), f"ids are {ids()}: one is empty")
        expect(not earlier & set(ids()), f"before a restart there were the ids {sorted(earlier)}, after it {ids()}")
        earlier |= set(ids())


@check("transport", "bring_again")
async def knows_a_message_that_comes_again(rig: _Again) -> None:
    """A message that the network brings again has the id that it had, also after a restart: so it is answered once."""
    async with connected(rig) as it:
        await it.hear("once")
        await rig.bring_again()
        await it.hear("twice")
    async with connected(rig) as anew:
        await rig.bring_again()
        await anew.hear("at last")
    for text, after in (("once", ""), ("twice", ", also after a restart,")):
        ids = [message.id for message in it.record.begun + anew.record.begun if message.text == text]
        expect(len(set(ids)) == 1, f"the same message was brought again{after} and had the ids {ids}")


@check("transport", "acknowledged")
async def acknowledges_what_was_kept(rig: _Acknowledged) -> None:
    """A message is acknowledged once deliver has returned; else the network brings it for ever."""
    async with connected(rig) as it:
        await it.hear("kept")

        async def acknowledged() -> bool:
            return "kept" in await rig.acknowledged()

        await it.until(acknowledged, "deliver had returned, and the message was not acknowledged")


@check("transport", "acknowledged")
async def acknowledges_nothing_else(rig: _Acknowledged) -> None:
    """A message is not acknowledged before deliver has returned, nor when deliver has raised."""
    async with connected(rig) as it:
        it.record.held = anyio.Event()
        await rig.write("held")
        await it.until(lambda: it.record.begun, "the message was not delivered")
        await _see_something_sent(it)  # an acknowledgement would have gone before it, on the same line
        expect("held" not in await rig.acknowledged(), "a message was acknowledged while deliver had not returned")
        it.record.held.set()
        await it.heard("held")
        it.record.refused = "refused"
        await rig.write("refused")
        await it.until(lambda: it.record.began("refused"), "the second message was not delivered")
        await whether(lambda: it.ended, it.wait / 4)
        expect("refused" not in await rig.acknowledged(), "a message was acknowledged though deliver had raised")


async def _see_something_sent(it: Driven) -> None:
    """Send something, and wait a while until it is seen; the answer to it may be stuck behind the held message."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_try_to_send, it)

        async def seen() -> bool:
            return bool(await it.rig.shown(it.rig.chat))

        await whether(seen, it.wait / 4)
        tasks.cancel_scope.cancel()


async def _try_to_send(it: Driven) -> None:
    with suppress(Exception):  # whether it works has checks of its own
        await it.send("meanwhile")


@check("transport")
async def lets_a_refusal_out_of_run(rig: TransportRig) -> None:
    """When deliver raises NotAccepted, run lets it out: it is called again when messages can be kept."""
    async with connected(rig) as it:
        it.record.refused = "refused"
        await rig.write("refused")
        await it.until(lambda: it.record.began("refused"), "the message was not delivered")
        await until(lambda: it.ended, it.wait, f"run went on for {it.wait:g} s after deliver had raised NotAccepted")
        said = f"deliver raised NotAccepted, and {it.how_it_ended()}"
        expect(isinstance(it.error, NotAccepted), said)


@check("transport", "bring_again")
async def delivers_again_what_was_not_kept(rig: _Again) -> None:
    """What could not be kept is delivered again when the network brings it again."""
    async with connected(rig) as it:
        it.record.refused = "refused"
        await rig.write("refused")
        await it.until(lambda: it.record.began("refused"), "the message was not delivered")
        await whether(lambda: it.ended, it.wait / 4)
        await it.stop()
        it.record.refused = None
        await it.connect()
        await rig.bring_again()
        await it.heard("refused")


@check("transport", "keeps")
async def brings_what_was_written_while_it_was_away(rig: TransportRig) -> None:
    """What was written while nobody ran is delivered by the next run, once."""
    async with driven(rig) as it:
        await it.connect()
        await it.hear("before")
        await it.stop()
        await rig.write("first")
        await rig.write("second")
        await it.connect()
        await it.hear("after")
        await it.until(
            lambda: {"first", "second"} <= set(it.record.texts()), lambda: f"it delivered {it.record.texts()}"
        )
        texts = it.record.texts()
        expect(texts.count("first") == texts.count("second") == 1, f"it delivered {texts}")


RECEIVING_CHECKS = (
    says_that_it_is_connected,
    delivers_what_somebody_writes,
    gives_each_field_its_type,
    keeps_the_order,
    gives_no_id_twice,
    knows_a_message_that_comes_again,
    acknowledges_what_was_kept,
    acknowledges_nothing_else,
    lets_a_refusal_out_of_run,
    delivers_again_what_was_not_kept,
    brings_what_was_written_while_it_was_away,
)
