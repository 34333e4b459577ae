"""What the contract wants of a transport whose network brings more than plain messages."""

from __future__ import annotations

from typing import Any

from nanokimi_core.contracts.transport import KnowsOwner
from nanokimi_core.messages import Inbound
from nanokimi_core.shapes import offers
from nanokimi_core.testing.conformance.checks import DoesNotApply, check, expect
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.abilities import (
    BringsReactions,
    ChangesMessages,
    HasThreads,
    Mentions,
    RevokesMessages,
    WritesAsAssistant,
    WritesToSelf,
)
from nanokimi_core.testing.conformance.transport.driven import Driven, connected


class _Editing(TransportRig, ChangesMessages): ...


class _Revoking(TransportRig, RevokesMessages): ...


class _Reacting(TransportRig, BringsReactions): ...


class _Mentioning(TransportRig, Mentions): ...


class _Threaded(TransportRig, HasThreads): ...


class _Own(TransportRig, WritesAsAssistant): ...


class _Shared(TransportRig, WritesToSelf): ...


async def _event(it: Driven, first: Inbound, kind: str) -> Inbound:
    """Wait for what came besides the first message, and look whether it is an event about it."""

    def others() -> list[Inbound]:
        return [each for each in it.record.kept if (each.event, each.id) != (first.event, first.id)]

    await it.until(others, f"no event of the kind {kind!r} was delivered")
    event = others()[0]
    expect(event.event == kind, f"it came as an event of the kind {event.event!r}, not {kind!r}")
    expect(event.target == first.id, f'its target is {event.target!r}, and the message\'s id is "{first.id}"')
    expect(event.id and event.id != first.id, f'its own id is "{event.id}", and the message\'s is "{first.id}"')
    expect(event.chat == first.chat, f'its chat is "{event.chat}", not "{first.chat}"')
    return event


@check("transport", "edit")
async def brings_an_edit(rig: _Editing) -> None:
    """A changed message comes as an event "edit" with an id of its own, the message as target, and the new text."""
    async with connected(rig) as it:
        first = await it.hear("good mornign")
        await rig.edit("good morning")
        event = await _event(it, first, "edit")
        expect(event.text == "good morning", f'its text is "{event.text}", not the new one')


@check("transport", "revoke")
async def brings_a_revocation(rig: _Revoking) -> None:
    """A message that was taken back comes as an event "revoke" with an id of its own, whose target is the message."""
    async with connected(rig) as it:
        first = await it.hear("not meant for you")
        await rig.revoke()
        await _event(it, first, "revoke")


@check("transport", "react")
async def brings_a_reaction(rig: _Reacting) -> None:
    """A reaction comes as an event "reaction" with an id of its own, the message as target, and its sign as text."""
    async with connected(rig) as it:
        first = await it.hear("done")
        await rig.react("👍")
        event = await _event(it, first, "reaction")
        expect(event.text == "👍", f'its text is "{event.text}", not the sign')


@check("transport", "mention")
async def notices_a_mention(rig: _Mentioning) -> None:
    """A message that mentions the assistant has mentions_me set."""
    async with connected(rig) as it:
        await rig.mention("are you there?")
        await it.until(lambda: it.record.kept, "the message was not delivered")
        expect(it.record.kept[0].mentions_me, "mentions_me is not set on a message that mentions the assistant")


@check("transport", "write_in_thread")
async def tells_threads_apart(rig: _Threaded) -> None:
    """A message in a thread names it in thread, always in the same way; one outside of threads names none."""
    async with connected(rig) as it:
        for thread, text in (("tea", "one"), ("tea", "two"), ("cake", "three")):
            await rig.write_in_thread(thread, text)
        threads = [(await it.heard(text)).thread for text in ("one", "two", "three")]
        expect(all(threads), f"three messages in threads have {threads} as thread")
        expect(threads[0] == threads[1], f'two messages in one thread have "{threads[0]}" and "{threads[1]}" as thread')
        expect(threads[1] != threads[2], f'messages in two threads both have "{threads[1]}" as thread')
        outside = (await it.hear("four")).thread
        expect(outside is None, f'a message outside of threads has "{outside}" as thread')


@check("transport", "write_in_thread", "shown_in_thread")
async def answers_in_the_thread(rig: _Threaded) -> None:
    """What is sent with a thread is shown in that thread, and nowhere else."""
    async with connected(rig) as it:
        await rig.write_in_thread("tea", "milk?")
        await rig.write_in_thread("cake", "more?")
        message = await it.heard("milk?")
        await it.heard("more?")
        await it.send("yes, please", thread=message.thread)

        async def shown() -> bool:
            return list(await rig.shown_in_thread("tea")) == ["yes, please"]

        await it.until(shown, "the answer was not shown in the thread that it was sent to")
        other = list(await rig.shown_in_thread("cake"))
        expect(not other, f"an answer to another thread was shown: {other}")


@check("transport", "write_from_me")
async def knows_its_own_messages(rig: _Own) -> None:
    """What the network brings of the assistant's own account, where it is delivered at all, has from_me set."""
    async with connected(rig) as it:
        await it.send("from here")
        await rig.write_from_me("from elsewhere")
        await it.hear("the end")
        for message in it.record.kept:
            if message.text in ("from here", "from elsewhere"):
                expect(message.from_me, f'from_me is not set on "{message.text}", which the assistant\'s account wrote')


@check("transport", "write_to_self")
async def knows_its_owners_chat(rig: _Shared) -> None:
    """What the account's owner writes to themselves comes from_me, of the kind self, in the chat of owner_chat()."""
    async with connected(rig) as it:
        transport: Any = it.transport
        if not offers(transport, KnowsOwner):
            raise DoesNotApply("the transport has no owner_chat()")
        await rig.write_to_self("to do")
        message, chat = await it.heard("to do"), transport.owner_chat()
        names = [message.chat, *message.chat_aliases]
        expect(chat in names, f"owner_chat() is {chat!r}, and the message came in {' or '.join(map(repr, names))}")
        expect(message.kind == "self", f"the message has the kind {message.kind!r}, not 'self'")
        expect(message.from_me, "from_me is not set on the message")


EVENT_CHECKS = (
    brings_an_edit,
    brings_a_revocation,
    brings_a_reaction,
    notices_a_mention,
    tells_threads_apart,
    answers_in_the_thread,
    knows_its_own_messages,
    knows_its_owners_chat,
)
