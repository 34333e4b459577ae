"""What the contract wants of a transport that sends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import anyio
from anyio.lowlevel import checkpoint

from nanokimi_core.contracts.transport import Traits
from nanokimi_core.delivery.route import traits_of
from nanokimi_core.errors import NotSent
from nanokimi_core.messages import Receipt
from nanokimi_core.testing.conformance.checks import DoesNotApply, check, expect
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.driven import Driven, connected, short

_MANY = 10
_AS_THEY_ARE = (":colon", "/slash", "PING now", "%s {0} $HOME \\n", '"quoted"', "¿qué? 你好 🙂")
_POINTS = (0, 1, 2, 3, 5, 8, 13, 21)


@check("transport")
async def shows_what_is_sent(rig: TransportRig) -> None:
    """What is sent is seen, once, in its chat, whether it names the message that it answers or not."""
    async with connected(rig) as it:
        message = await it.hear("a question")
        await it.send("an answer", reply_to=message.id)
        await it.send("and more")
        await it.seen("an answer", "and more")


@check("transport")
async def gives_a_receipt_or_nothing(rig: TransportRig) -> None:
    """What send gives is a Receipt, whose network_id is a str or None, or None."""
    async with connected(rig) as it:
        receipt = await it.send("an answer")
        given = f"send gave {receipt!r:.80}"
        expect(receipt is None or isinstance(receipt, Receipt), f"{given}, neither a Receipt nor None")
        network_id = receipt.network_id if receipt is not None else None
        expect(network_id is None or isinstance(network_id, str), f"{given}, whose network_id is no str")


@check("transport")
async def sends_in_order(rig: TransportRig) -> None:
    """What is sent one after the other is seen in that order."""
    async with connected(rig) as it:
        texts = [f"number {number}" for number in range(_MANY)]
        for text in texts:
            await it.send(text)
        await it.seen(*texts)


@check("transport")
async def sends_several_at_once(rig: TransportRig) -> None:
    """Where traits.concurrent_sends is set, sends at once don't mix."""
    async with connected(rig) as it:
        if not traits_of(it.transport).concurrent_sends:
            raise DoesNotApply("traits.concurrent_sends is not set")
        texts = [f"number {number} " + str(number) * 100 for number in range(_MANY)]
        async with anyio.create_task_group() as tasks:
            for text in texts:
                tasks.start_soon(it.send, text, text)

        async def seen() -> bool:
            return sorted(await rig.shown(rig.chat)) == sorted(texts)

        await it.until(seen, f"of {_MANY} messages that were sent at once, not each was seen once and whole")


@check("transport")
async def shows_a_text_as_it_is(rig: TransportRig) -> None:
    """No text is taken for a command of the network's, or for anything else than a text."""
    async with connected(rig) as it:
        for text in _AS_THEY_ARE:
            await it.send(text)
        shown: list[str] = []

        async def so() -> bool:
            shown[:] = await rig.shown(rig.chat)
            return sorted(shown) == sorted(_AS_THEY_ARE)

        await it.until(so, lambda: f"people saw {short(shown)}, not {short(_AS_THEY_ARE)}")


@check("transport")
async def takes_the_longest_text(rig: TransportRig) -> None:
    """A text as long as traits.max_text says arrives whole, as one message."""
    async with connected(rig) as it:
        text = longest(traits_of(it.transport))
        await it.send(text)
        await it.seen(text)


def longest(traits: Traits) -> str:
    """Make a text of words, in letters of two bytes where there's room, exactly as long as traits allow."""
    size = len if traits.measure == "characters" else _bytes
    word = "é" * 9 + " "
    text = (word * (traits.max_text // size(word))).strip()
    return text + "x" * (traits.max_text - size(text))


def _bytes(text: str) -> int:
    return len(text.encode())


@check("transport")
async def keeps_the_lines_of_a_text(rig: TransportRig) -> None:
    """Where traits.lines is "many", a text of many lines arrives with its lines, as one message."""
    async with connected(rig) as it:
        if traits_of(it.transport).lines != "many":
            raise DoesNotApply('traits.lines is "one"')
        await it.send("one\ntwo\n\nfour")
        await it.seen("one\ntwo\n\nfour")


@check("transport", "shows_a_key_once")
async def shows_a_key_once(rig: TransportRig) -> None:
    """A second send under the same key, also by a process that was started anew, isn't seen."""
    async with connected(rig) as it:
        await it.send("once", key="the-key")
        await it.send("once", key="the-key")
    async with connected(rig) as anew:
        await anew.send("once", key="the-key")
        await anew.send("after it", key="another-key")
        await anew.seen("once", "after it")


@check("transport")
async def survives_a_send_that_is_cancelled(rig: TransportRig) -> None:
    """A send that is cancelled, at whatever point, spoils nothing that is sent after it."""
    async with connected(rig) as it:
        for points in _POINTS:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_try, it, f"perhaps {points}")
                for _ in range(points):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            await it.owe(f"certain {points}")

        async def whole() -> bool:
            return _is_whole(await rig.shown(rig.chat))

        await it.until(whole, "people didn't see each message that was sent, once and whole")


async def _try(it: Driven, text: str) -> None:
    with suppress(NotSent):
        await it.send(text)


def _is_whole(shown: Sequence[str]) -> bool:
    certain = [f"certain {points}" for points in _POINTS]
    perhaps = [f"perhaps {points}" for points in _POINTS]
    return len(set(shown)) == len(shown) and set(certain) <= set(shown) <= {*certain, *perhaps}


SENDING_CHECKS = (
    shows_what_is_sent,
    gives_a_receipt_or_nothing,
    sends_in_order,
    sends_several_at_once,
    shows_a_text_as_it_is,
    takes_the_longest_text,
    keeps_the_lines_of_a_text,
    shows_a_key_once,
    survives_a_send_that_is_cancelled,
)
