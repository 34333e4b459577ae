"""Turns of a chat with the real kimi-code in its container."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest

from nanokimi_core import Attachment, Failure, Text, ToolCall
from testbed.cloud import CallTool, Hang, Say
from testbed.kimi import INSTRUCTIONS, SECONDS, Bench, ask, events, failure, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


async def test_the_second_turn_knows_the_first_and_so_does_the_one_after_the_container_is_gone(bench: Bench) -> None:
    chat = bench.chat()
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            assert "zebra" in await ask(session, "my word is zebra")
            assert await ask(session, "what did I say") == "you said: [Ana] my word is zebra"
        async with backend.session(chat) as session:
            assert "[Ana] my word is zebra" in await ask(session, "what did I say")
    assert bench.cloud.completions()[-1].said[:1] == ["[Ana] my word is zebra"]


async def test_a_conversation_goes_on_in_another_process_and_forgetting_begins_a_new_one(bench: Bench) -> None:
    chat, other = bench.chat("console:me"), bench.chat("console:you")
    async with bench.backend() as backend, backend.session(chat) as session:
        await ask(session, "my word is zebra")
    async with bench.backend() as backend, backend.session(chat) as session:
        assert "zebra" in await ask(session, "what did I say")
        await backend.forget(other)
        assert "zebra" in await ask(session, "what did I say")
        await backend.forget(chat)
        assert await ask(session, "what did I say") == "you said: nothing"
        assert await ask(session, "what did I say") == "you said: [Ana] what did I say"


async def test_instructions_reach_the_model_and_new_ones_reach_a_conversation_that_began_before(bench: Bench) -> None:
    async with bench.backend() as backend:
        async with backend.session(bench.chat()) as session:
            await ask(session, "hello")
        changed = bench.chat(instructions=INSTRUCTIONS.replace("Kai", "Mia"))
        async with backend.session(changed) as session:
            await ask(session, "hello again")
            await ask(session, "and again")
    first, second, third = bench.cloud.completions()
    assert "GLOBAL-KIMI-MD" in first.prompt
    assert "CHAT-KIMI-MD" in first.prompt
    assert "Your name is Mia" not in first.prompt
    assert "Your name is Mia" in second.said[-1]
    assert second.said[-1].endswith("[Ana] hello again")
    assert third.said[-1] == "[Ana] and again"


async def test_what_the_agent_tries_does_not_change_its_instructions_or_config(bench: Bench) -> None:
    tries = "for f in AGENTS.md config.toml; do echo evil > ~/.kimi-code/$f; rm -f ~/.kimi-code/$f; done; true"
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        bench.cloud.script(CallTool("Bash", {"command": tries + "; mv ~/.kimi-code/AGENTS.md ~/.kimi-code/x"}))
        answer = await ask(session, "overwrite them")
        bench.cloud.script(CallTool("Bash", {"command": "cat ~/.kimi-code/AGENTS.md"}))
        assert INSTRUCTIONS in await ask(session, "show them")
    assert "Read-only file system" in answer


async def test_a_slash_at_the_beginning_of_what_people_type_is_no_command(bench: Bench) -> None:
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        assert await ask(session, "/help") == "heard: [Ana] /help"
        assert await ask(session, turn("/goal rule the world", quoted="/init")) != ""
    assert len(bench.cloud.completions()) == 2


async def test_tools_run_without_a_question_and_are_shown(bench: Bench) -> None:
    bench.cloud.script(CallTool("Bash", {"command": "echo made-by-a-tool > made.txt; cat made.txt; id -u"}))
    chat = bench.chat()
    async with bench.backend() as backend, backend.session(chat) as session:
        heard = await events(session, "make a file")
    calls = [event for event in heard if isinstance(event, ToolCall)]
    assert [call.status for call in calls][-1] == "done"
    assert "echo made-by-a-tool" in calls[-1].title
    assert "made-by-a-tool" in "".join(event.delta for event in heard if isinstance(event, Text))
    assert (chat.folder / "workspace" / "made.txt").read_text() == "made-by-a-tool\n"


async def test_an_image_is_shown_to_the_model_and_a_file_is_named_as_the_agent_finds_it(bench: Bench) -> None:
    chat = bench.chat()
    async with bench.backend() as backend, backend.session(chat) as session:
        folder = chat.folder / "workspace" / "attachments"
        folder.mkdir()
        picture, letter = folder / "p.png", folder / "l.txt"
        picture.write_bytes(PIXEL)
        letter.write_text("dear")
        files = (
            Attachment("photo.png", "image/png", picture, len(PIXEL)),
            Attachment("letter.txt", "text/plain", letter, 4),
        )
        await ask(session, turn("look", attachments=files))
    asked = bench.cloud.completions()[-1]
    assert "/workspace/attachments/l.txt" in asked.prompt
    assert str(folder) not in asked.prompt
    assert "image_url" in str(asked.body["messages"])


async def test_a_cancelled_turn_ends_normally_and_the_next_one_works(bench: Bench) -> None:
    bench.cloud.script(Say(" ".join(f"word{n}" for n in range(200)), delay_between_chunks=0.1))
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        heard = []
        with anyio.fail_after(SECONDS):
            async with aclosing(session.prompt(turn("talk"))) as stream:  # type: ignore[type-var]
                async for event in stream:
                    heard.append(event)
                    if len(heard) == 3:
                        await session.cancel()
        assert len(heard) < 50
        assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_a_silent_agent_can_be_left_and_asked_again(bench: Bench) -> None:
    bench.cloud.script(Hang(50, text="well"))
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        with anyio.fail_after(SECONDS):
            async with aclosing(session.prompt(turn("talk"))) as stream:  # type: ignore[type-var]
                async for _ in stream:
                    break
        assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_a_cancelled_listener_leaves_a_usable_session(bench: Bench) -> None:
    bench.cloud.script(Hang(50, text="well"))
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        with anyio.move_on_after(0.5) as scope:
            await events(session, "talk")
        assert scope.cancelled_caught
        assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_a_second_prompt_waits_for_the_first(bench: Bench) -> None:
    bench.cloud.script(Say("one two three", delay_between_chunks=0.2))
    answers: list[str] = []
    async with bench.backend() as backend, backend.session(bench.chat()) as session:

        async def put(text: str) -> None:
            answers.append(await ask(session, text))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put, "first")
            await anyio.sleep(0.1)
            tasks.start_soon(put, "second")
    assert answers == ["one two three", "heard: [Ana] second"]


async def test_a_turn_of_too_many_steps_is_stopped(bench: Bench) -> None:
    bench.cloud.script(*(CallTool("Bash", {"command": f"echo {n}"}) for n in range(9)))
    async with bench.backend(max_steps=3) as backend, backend.session(bench.chat()) as session:
        error = await failure(session)
    assert error.kind is Failure.TOO_LONG
    assert "max_steps in [plugins.kimi_docker]" in error.remedy
    assert len(bench.cloud.completions()) == 3
