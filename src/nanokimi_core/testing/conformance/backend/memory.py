"""What an agent knows: of the turns before, of other chats, and after it was told to forget."""

from __future__ import annotations

from typing import Any

import anyio

from nanokimi_core.contracts.backend import Backend, Chat, Session
from nanokimi_core.testing.conformance.backend.asking import (
    answer,
    answered,
    entered,
    knows,
    mid_answer,
    new_turn,
    new_word,
    running,
    taught,
)
from nanokimi_core.testing.conformance.checks import Check, DoesNotApply, check, expect, within
from nanokimi_core.testing.conformance.rigs import BackendRig


@check("backend", "remembers")
async def the_second_turn_knows_the_first(rig: BackendRig) -> None:
    """In one session, a turn knows what was said in the turn before."""
    word = new_word()
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        await answer(rig, session, rig.remember(word))
        heard = await answer(rig, session, rig.recall())
    expect(word in heard, f'after "{rig.remember(word)}", "{rig.recall()}" was answered "{heard[:200]}"')


@check("backend", "remembers")
async def entered_again_it_still_knows(rig: BackendRig) -> None:
    """A session that was left and is entered again knows what was said in it, also after a restart."""
    chat = rig.chat()
    async with rig.made() as backend:
        async with entered(rig, backend, chat) as session:
            word = await taught(rig, session)
        async with entered(rig, backend, chat) as session:
            expect(await knows(rig, session, word), "a session was left and entered again, and had forgotten")
    if rig.keeps:
        async with rig.made() as backend, entered(rig, backend, chat) as session:
            expect(await knows(rig, session, word), "another instance with the same folder did not know what was said")


@check("backend", "remembers")
async def what_is_forgotten_is_gone(rig: BackendRig) -> None:
    """After forget(chat) the chat's next session starts empty, also after a restart."""
    chat = rig.chat()
    async with rig.made() as backend:
        async with entered(rig, backend, chat) as session:
            word = await taught(rig, session)
        await _forget(rig, backend, chat)
        async with entered(rig, backend, chat) as session:
            expect(not await knows(rig, session, word), "after forget(chat), the chat's next session still knew")
            await answered(rig, session, "after forget(chat)")
    if rig.keeps:
        async with rig.made() as backend, entered(rig, backend, chat) as session:
            expect(not await knows(rig, session, word), "what was forgotten was known again after a restart")


@check("backend", "remembers")
async def forgetting_a_chat_leaves_the_others(rig: BackendRig) -> None:
    """forget(chat) is about this chat only; where there is nothing to forget, it does nothing."""
    async with rig.made() as backend:
        await _forget(rig, backend, rig.chat(3))
        async with entered(rig, backend, rig.chat(2)) as other:
            word = await taught(rig, other)
            async with entered(rig, backend, rig.chat(1)) as session:
                if await knows(rig, session, word):
                    raise DoesNotApply("chats know of each other, which another check tells of")
            await _forget(rig, backend, rig.chat(1))
            expect(await knows(rig, other, word), "forget was called for one chat, and another chat had forgotten")


async def _forget(rig: BackendRig, backend: Backend, chat: Chat) -> None:
    with within(rig.wait, f"forget had not ended after {rig.wait:g} s"):
        await backend.forget(chat)


@check("backend")
async def two_chats_keep_apart(rig: BackendRig) -> None:
    """Of two chats that ask at once, each gets its own answer, and neither knows what was said in the other."""
    mine, yours = new_word(), new_word()
    heard: dict[str, str] = {}

    async def ask(session: Session, name: str, word: str) -> None:
        heard[name] = await answer(rig, session, rig.question(word))
        if rig.remembers:
            await answer(rig, session, rig.remember(word))
            heard[f"{name}, of what it remembers"] = await answer(rig, session, rig.recall())

    async with (
        rig.made() as backend,
        entered(rig, backend, rig.chat(1)) as one,
        entered(rig, backend, rig.chat(2)) as two,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ask, one, "the first chat", mine)
        tasks.start_soon(ask, two, "the second chat", yours)
    for name, text in heard.items():
        own, other = (mine, yours) if name.startswith("the first") else (yours, mine)
        expect(other not in text, f'{name} was told "{text[:200]}", and "{other}" was said in the other chat')
        if name.endswith("chat"):
            expect(own in text, f'{name} asked "{rig.question(own)}" and was told "{text[:200]}"')


@check("backend", "hold")
async def two_chats_are_answered_side_by_side(rig: Any) -> None:
    """While an answer in one chat takes its time, another chat gets its own."""
    async with (
        rig.made() as backend,
        entered(rig, backend, rig.chat(1)) as slow,
        entered(rig, backend, rig.chat(2)) as quick,
    ):
        await rig.hold()
        async with running(rig, slow, new_turn(rig.question(new_word()))) as turn:
            await mid_answer(rig, turn)
            await answered(rig, quick, "while the answer in another chat stood still")
            await rig.let_go()
            await turn.over("the agent had come to the end of its answer, and prompt had not ended")


@check("backend", "remembers")
async def two_instances_share_nothing(rig: BackendRig) -> None:
    """What an instance knows is its own: a second one, in the same process, knows nothing of it."""
    chat = rig.chat()
    async with rig.made("tried") as one, rig.made("another") as two, entered(rig, one, chat) as session:
        word = await taught(rig, session)
        async with entered(rig, two, chat) as other:
            known = await knows(rig, other, word)
        expect(not known, "a second instance knew what was said to the first: something is kept in a global")
        await _forget(rig, two, chat)
        expect(await knows(rig, session, word), "forget was called on one instance, and another had forgotten")


MEMORY: tuple[Check, ...] = (
    the_second_turn_knows_the_first,
    entered_again_it_still_knows,
    what_is_forgotten_is_gone,
    forgetting_a_chat_leaves_the_others,
    two_chats_keep_apart,
    two_chats_are_answered_side_by_side,
    two_instances_share_nothing,
)
