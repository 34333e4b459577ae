"""What the contract wants of a transport whose network breaks, hangs, or lies."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from nanokimi_core.testing.conformance.checks import check, expect, in_words, saw, whether
from nanokimi_core.testing.conformance.overhearing import overheard
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.abilities import CutsLines, FallsSilent, RefusesLines, WritesGarbage
from nanokimi_core.testing.conformance.transport.driven import Driven, connected, driven

_RUNS = 2
_TEXTS = ("one", "two", "three", "the last")
_GARBAGE = (
    b"",
    b"\x00\xff\xfe",
    b"null",
    b"[[[[",
    b"{}",
    b'{"id": null, "text": 1}',
    b"\xf0\x9f" * 10,
    b"x" * 100_000,
    b"[" * 100_000,
)


class _Cutting(TransportRig, CutsLines): ...


class _Refusing(TransportRig, RefusesLines): ...


class _Silent(TransportRig, FallsSilent): ...


class _Hostile(TransportRig, WritesGarbage): ...


@check("transport", "cut")
async def notices_a_cut(rig: _Cutting) -> None:
    """When its connection breaks, run raises, or connects again by itself; it neither returns nor waits for ever."""
    async with connected(rig) as it:
        readies = it.record.readies
        await rig.cut()
        await it.recover(readies)


@check("transport")
async def delivers_once_however_often_it_ran(rig: TransportRig) -> None:
    """However often run was called again, each message is delivered once: nothing of the runs before still listens."""
    async with connected(rig) as it:
        for _ in range(_RUNS):
            await it.stop()
            await it.connect()
            if isinstance(rig, CutsLines):
                await rig.cut()
                await _begin_again(it)
        for text in _TEXTS:
            await it.hear(text)
        texts = [message.text for message in it.record.begun]
        expect(
            any(texts.count(text) == 1 for text in _TEXTS[:-1]),  # the network itself may bring some of them again
            f"when run had been called again, [{', '.join(_TEXTS)}] was delivered as {texts}",
        )
        expect(not it.record.late, "a message was delivered into the inbox of a run that was over")


async def _begin_again(it: Driven) -> None:
    """Wait a while for a run to notice, then start another: whether it does has a check of its own."""
    readies = it.record.readies
    await whether(lambda: it.ended or it.record.readies > readies, it.wait / 2)
    if it.record.readies == readies:
        await it.stop()
        await it.connect()


@check("transport", "cut")
async def sends_after_a_cut(rig: _Cutting) -> None:
    """What could not be sent when the connection broke is sent over the next one."""
    async with connected(rig) as it:
        await it.send("before")
        await it.seen("before")
        await rig.cut()
        await _begin_again(it)
        await it.owe("after")
        await it.seen("before", "after")


@check("transport", "refuse_lines")
async def does_not_give_up_a_network_that_is_away(rig: _Refusing) -> None:
    """When nobody listens, run raises, or goes on trying; it doesn't return, nor say that it is connected."""
    await rig.refuse_lines()
    async with driven(rig) as it:
        it.start()
        await whether(lambda: it.ended, it.wait / 10)
        expect(not it.record.readies, "nobody listened, and run called inbox.ready()")
        expect(not (it.ended and it.error is None), "nobody listened, and run returned: it must raise")
        await it.stop()


@check("transport", "fall_silent")
async def ends_while_the_network_says_nothing(rig: _Silent) -> None:
    """A run that waits for a network that accepts the connection and says nothing ends at once when it is cancelled."""
    await rig.fall_silent()
    async with driven(rig) as it:
        for _ in range(2):
            it.start()
            await anyio.sleep(it.wait / 50)
            await it.stop()


@check("transport", "garbage")
async def survives_garbage(rig: _Hostile) -> None:
    """After bytes that mean nothing, run goes on, or raises an Exception and works when it is called again."""
    async with connected(rig) as it:
        for number, data in enumerate(_GARBAGE):
            await rig.garbage(data)
            await _hears_after(it, f"after {number}", data)


async def _hears_after(it: Driven, text: str, data: bytes) -> None:
    """Look whether a message comes, where need be from the next run; some may be lost with the garbage."""
    said = f"after it was sent {data[:20]!r}{'…' if len(data) > 20 else ''} ({len(data)} bytes)"
    for attempt in range(3):
        if it.ended:
            expect(it.error is not None, f"{said}, run returned: it must raise")
            await it.connect()
        await it.rig.write(f"{text}, {attempt}")
        await whether(lambda said=f"{text}, {attempt}": it.ended or said in it.record.texts(), it.wait / 4)
        if f"{text}, {attempt}" in it.record.texts():
            return
    saw(f"{said}, no message was delivered any more: run neither went on nor raised")


@check("transport", "secrets")
async def keeps_its_secrets(rig: TransportRig) -> None:
    """No secret of the table stands in a log line, in what repr() gives, or in what is raised."""
    said: list[str] = []
    with _overheard(said):
        async with driven(rig) as it:
            said += [repr(it.transport), str(it.transport)]
            await _try(it, said)
            await it.connect()
            await it.hear("good morning")
            await it.send("good morning")
            if isinstance(rig, CutsLines):
                await rig.cut()
                await _begin_again(it)
                said += [in_words(it.error)] if it.error is not None else []
            said += [repr(it.transport)]
            await it.stop()
            if isinstance(rig, RefusesLines):
                await rig.refuse_lines()
                it.start()
                await whether(lambda: it.ended, it.wait / 10)
                said += [in_words(it.error)] if it.error is not None else []
    for secret in rig.secrets:
        for text in said:
            if secret in text:
                saw(f"a secret of the table stands in: {text.replace(secret, '[the secret]')[:200]}")


async def _try(it: Driven, said: list[str]) -> None:
    with anyio.move_on_after(it.wait / 10):
        try:
            await it.send("too early")
        except Exception as error:  # noqa: BLE001  # the plugin, whose name the check knows; what it raised is judged
            said.append(in_words(error))


@contextmanager
def _overheard(said: list[str]) -> Iterator[None]:
    """Note what is logged, by whomever."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")

    with overheard(Ear(logging.DEBUG)):
        yield


TROUBLE_CHECKS = (
    notices_a_cut,
    delivers_once_however_often_it_ran,
    sends_after_a_cut,
    does_not_give_up_a_network_that_is_away,
    ends_while_the_network_says_nothing,
    survives_garbage,
    keeps_its_secrets,
)
