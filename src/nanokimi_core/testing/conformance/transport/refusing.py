"""What the contract wants of a transport that can't send: what it raises, and when."""

from __future__ import annotations

from datetime import timedelta

import anyio

from nanokimi_core.errors import NotSent, Undeliverable
from nanokimi_core.testing.conformance.checks import check, expect, in_words, saw
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.abilities import Forbids, LosesAnswers, Throttles
from nanokimi_core.testing.conformance.transport.driven import Driven, connected, driven


class _Throttling(TransportRig, Throttles): ...


class _Forbidding(TransportRig, Forbids): ...


class _Losing(TransportRig, LosesAnswers): ...


@check("transport")
async def does_not_pretend_to_have_sent(rig: TransportRig) -> None:
    """Without a connection send raises NotSent, or waits; it never returns without having sent."""
    async with driven(rig) as it:
        before = await _without_a_connection(it, "before")
        await it.connect()
        await it.send("between")
        await it.stop()
        after = await _without_a_connection(it, "after")
        await it.connect()
        await it.send("at last")
        wanted = [*before, "between", *after, "at last"]
        await it.seen(*wanted)


async def _without_a_connection(it: Driven, text: str) -> list[str]:
    """Try to send while run isn't running; give what must be seen then."""
    raised: Exception | None = None
    with anyio.move_on_after(it.wait / 10) as waited:
        try:
            await it.send(text)
        except Exception as error:  # noqa: BLE001  # the plugin, whose name the check knows; what it raised is judged
            raised = error
    if waited.cancelled_caught or isinstance(raised, NotSent):
        return []
    if raised is not None:
        saw(f"without a connection, send raised {in_words(raised)}: it is NotSent that says that nothing was sent")
    return [text]


@check("transport", "throttle_next")
async def says_when_to_try_again(rig: _Throttling) -> None:
    """What the network refuses for now is NotSent, with retry_after where the network says how long."""
    async with connected(rig) as it:
        told = await rig.throttle_next()
        raised = await _refused(it, "later", NotSent)
        given = getattr(raised, "retry_after", None)
        if told is not None:
            expect(isinstance(given, timedelta), f"the network said {told}, and retry_after is {given!r}")
            expect(abs((given or told) - told) < timedelta(seconds=1), f"the network said {told}, retry_after {given}")
        await it.send("later")
        await it.seen("later")


@check("transport", "forbid_next")
async def says_what_will_never_be_accepted(rig: _Forbidding) -> None:
    """What the network refuses for good is Undeliverable, and what comes after it goes out."""
    async with connected(rig) as it:
        await rig.forbid_next()
        await _refused(it, "never", Undeliverable)
        await it.send("another")
        await it.seen("another")


async def _refused(it: Driven, text: str, kind: type[Exception]) -> Exception:
    try:
        await it.send(text)
    except kind as error:
        return error
    except (NotSent, Undeliverable) as error:
        saw(f"the network refused a message, and send raised {in_words(error)}, not {kind.__name__}")
    saw(f"the network refused a message, and send returned instead of raising {kind.__name__}")


@check("transport", "lose_next")
async def does_not_say_not_sent_of_what_it_cannot_know(rig: _Losing) -> None:
    """Where the line breaks before the network has answered, send raises neither NotSent nor Undeliverable."""
    async with connected(rig) as it:
        await rig.lose_next()
        raised: Exception | None = None
        with anyio.move_on_after(it.wait / 2):  # no end is as good: the core gives up, and doesn't know either
            try:
                await it.send("perhaps")
            except Exception as error:  # noqa: BLE001  # the plugin, whose name the check knows; it is judged
                raised = error
        if isinstance(raised, (NotSent, Undeliverable)):
            saw(f"the line broke after the message had gone out, and send raised {in_words(raised)}")


REFUSING_CHECKS = (
    does_not_pretend_to_have_sent,
    says_when_to_try_again,
    says_what_will_never_be_accepted,
    does_not_say_not_sent_of_what_it_cannot_know,
)
