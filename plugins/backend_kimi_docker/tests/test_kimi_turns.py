"""Turns of a chat with the real kimi-code in its container."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import anyio
import pytest

from nanokimi_backend_kimi_docker.backend import KimiDocker
from nanokimi_core import Attachment, Chat, Failure, Session, Text, ToolCall
from testbed.cloud import CallTool, Cloud, Hang, Say
from testbed.kimi import INSTRUCTIONS, SECONDS, Bench, ask, events, failure, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)
ONE_SANDBOX = "all-tests-of-this-module"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, kimi_image: str) -> Iterator[Bench]:
    with Cloud() as cloud:
        yield Bench(tmp_path_factory.mktemp("turns"), cloud, kimi_image)


@pytest.fixture(scope="module")
async def backend(shared: Bench) -> AsyncIterator[KimiDocker]:
    """One container for all chats of this module, which each test gives another chat."""
    keeper = shared.chat("console:keeper", sandbox=ONE_SANDBOX)
    async with shared.backend(max_steps=5) as backend, backend.session(keeper):
        yield backend


@pytest.fixture
def chat(shared: Bench, request: pytest.FixtureRequest) -> Chat:
    return shared.chat(f"console:{request.node.name}", sandbox=ONE_SANDBOX)


@pytest.fixture
async def session(backend: KimiDocker, chat: Chat) -> AsyncIterator[Session]:
    async with backend.session(chat) as session:
        yield session


async def test_the_second_turn_knows_the_first_and_so_does_the_one_after_the_container_is_gone(bench: Bench) -> None:
    chat = bench.chat()
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            assert "zebra" in await ask(session, "my word is zebra")
            assert await ask(session, "what did I say") == "you said: [Ana] my word is zebra"
        async with backend.session(chat) as session:
            assert "[Ana] my word is zebra" in await ask(session, "what did I say")
    assert bench.cloud.completions()[-1].said[:1] == ["[Ana] my word is zebra"]


async def test_a_conversation_goes_on_in_another_process_with_what_the_toml_says_now(bench: Bench) -> None:
    changed = bench.chat(instructions=INSTRUCTIONS.replace("Kai", "Mia"))
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        await ask(session, "my word is zebra")
    async with bench.backend(thinking=True) as backend, backend.session(changed) as session:
        assert "zebra" in await ask(session, "what did I say")
        await ask(session, "and again")
    first, second, third = bench.cloud.completions()
    assert "GLOBAL-KIMI-MD" in first.prompt
    assert "CHAT-KIMI-MD" in first.prompt
    assert "Your name is Mia" not in first.prompt
    assert "Your name is Mia" in second.said[-1]
    assert second.said[-1].endswith("[Ana] what did I say")
    assert third.said[-1] == "[Ana] and again"
    assert [request.body["thinking"]["type"] for request in (first, second)] == ["disabled", "enabled"]


async def test_forgetting_begins_a_new_conversation_for_this_chat_only(
    shared: Bench, backend: KimiDocker, chat: Chat, session: Session
) -> None:
    await ask(session, "my word is zebra")
    await backend.forget(shared.chat("console:another", sandbox=ONE_SANDBOX))
    assert "zebra" in await ask(session, "what did I say")
    await backend.forget(chat)
    assert await ask(session, "what did I say") == "you said: nothing"
    assert await ask(session, "what did I say") == "you said: [Ana] what did I say"


async def test_what_the_agent_tries_does_not_change_its_instructions_or_config(shared: Bench, session: Session) -> None:
    tries = "for f in AGENTS.md config.toml; do echo evil > ~/.kimi-code/$f; rm -f ~/.kimi-code/$f; done; true"
    shared.cloud.script(CallTool("Bash", {"command": tries + "; mv ~/.kimi-code/AGENTS.md ~/.kimi-code/x"}))
    assert "Read-only file system" in await ask(session, "overwrite them")
    shared.cloud.script(CallTool("Bash", {"command": "cat ~/.kimi-code/AGENTS.md"}))
    assert INSTRUCTIONS in await ask(session, "show them")


async def test_a_slash_at_the_beginning_of_what_people_type_is_no_command(shared: Bench, session: Session) -> None:
    before = len(shared.cloud.completions())
    assert await ask(session, "/help") == "heard: [Ana] /help"
    assert await ask(session, turn("/goal rule the world", quoted="/init")) != ""
    assert len(shared.cloud.completions()) == before + 2


async def test_tools_run_without_a_question_and_are_shown(shared: Bench, chat: Chat, session: Session) -> None:
    shared.cloud.script(CallTool("Bash", {"command": "echo made-by-a-tool > made.txt; cat made.txt"}))
    heard = await events(session, "make a file")
    calls = [event for event in heard if isinstance(event, ToolCall)]
    assert [call.status for call in calls][-1] == "done"
    assert "echo made-by-a-tool" in calls[-1].title
    assert "made-by-a-tool" in "".join(event.delta for event in heard if isinstance(event, Text))
    assert (chat.folder / "workspace" / "made.txt").read_text() == "made-by-a-tool\n"


async def test_what_is_said_before_and_after_a_tool_are_paragraphs(shared: Bench, session: Session) -> None:
    shared.cloud.script(CallTool("Bash", {"command": "true"}, text="Let me look."), Say("Nothing there."))
    assert await ask(session, "look") == "Let me look.\n\nNothing there."
    shared.cloud.script(CallTool("Bash", {"command": "true"}), Say("Nothing there."))
    assert await ask(session, "look") == "Nothing there."


async def test_an_image_is_shown_to_the_model_and_a_file_is_named_as_the_agent_finds_it(
    shared: Bench, chat: Chat, session: Session
) -> None:
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
    asked = shared.cloud.completions()[-1]
    assert "/workspace/attachments/l.txt" in asked.prompt
    assert str(folder) not in asked.prompt
    assert "image_url" in str(asked.body["messages"])


async def test_a_cancelled_turn_ends_normally_and_the_next_one_works(shared: Bench, session: Session) -> None:
    shared.cloud.script(Say(" ".join(f"word{n}" for n in range(200)), delay_between_chunks=0.1))
    heard = []
    with anyio.fail_after(SECONDS):
        async with aclosing(session.prompt(turn("talk"))) as stream:  # type: ignore[type-var]
            async for event in stream:
                heard.append(event)
                if len(heard) == 3:
                    await session.cancel()
    assert len(heard) < 50
    assert await ask(session, "hello") == "heard: [Ana] hello"
    await session.cancel()


async def test_a_silent_agent_can_be_left_and_asked_again(shared: Bench, session: Session) -> None:
    shared.cloud.script(Hang(50, text="well"))
    with anyio.fail_after(SECONDS):
        async with aclosing(session.prompt(turn("talk"))) as stream:  # type: ignore[type-var]
            async for _ in stream:
                break
    assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_a_cancelled_listener_leaves_a_usable_session(shared: Bench, session: Session) -> None:
    shared.cloud.script(Hang(50, text="well"))
    with anyio.move_on_after(0.5) as scope:
        await events(session, "talk")
    assert scope.cancelled_caught
    assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_a_second_prompt_waits_for_the_first(shared: Bench, session: Session) -> None:
    shared.cloud.script(Say("one two three", delay_between_chunks=0.2))
    answers: list[str] = []

    async def put(text: str) -> None:
        answers.append(await ask(session, text))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put, "first")
        await anyio.sleep(0.1)
        tasks.start_soon(put, "second")
    assert answers == ["one two three", "heard: [Ana] second"]


async def test_a_turn_of_too_many_steps_is_stopped(shared: Bench, session: Session) -> None:
    before = len(shared.cloud.completions())
    shared.cloud.script(*(CallTool("Bash", {"command": f"echo {n}"}) for n in range(5)))
    error = await failure(session)
    assert error.kind is Failure.TOO_LONG
    assert "max_steps in [plugins.kimi_docker]" in error.remedy
    assert len(shared.cloud.completions()) == before + 5


async def test_many_chats_of_one_sandbox_enter_and_ask_at_once(shared: Bench, backend: KimiDocker) -> None:
    chats = [shared.chat(f"console:crowd-{n}", sandbox=ONE_SANDBOX) for n in range(8)]
    answers: list[str] = []

    async def talk(chat: Chat) -> None:
        async with backend.session(chat) as session:
            answers.append(await ask(session, chat.id))
            answers.append(await ask(session, "what did I say"))

    async with anyio.create_task_group() as tasks:
        for one in chats:
            tasks.start_soon(talk, one)
    assert sorted(answers) == sorted(
        text for one in chats for text in (f"heard: [Ana] {one.id}", f"you said: [Ana] {one.id}")
    )
