"""Turns that are tried again with the real agents: the model sees each question once, whatever was killed when."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.container import Labels
from nanokimi_core import AgentError, Chat, Failure, Inbound, Turn, safe_name
from testbed.cloud import CallTool, Cloud, Fail, Hang, Say
from testbed.engine import image
from testbed.kimi import SECONDS, Bench, ask, events, failure, message, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

QUESTION = "which-animal-has-stripes"
SHELLS = {"kimi-code": "Bash", "kimi-cli": "Shell"}
RECORDS = {"kimi-code": "agents/main/wire.jsonl", "kimi-cli": "context.jsonl"}


@pytest.fixture(params=list(SHELLS))
def either(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, engine: Any) -> Iterator[Bench]:
    """A bench for each agent."""
    bench = Bench(tmp_path, cloud, image(request.param), agent=request.param)
    yield bench
    bench.clean(engine)


def asked(cloud: Cloud) -> list[str]:
    """What the user's side of the last request to the model says, message by message."""
    messages = cloud.completions()[-1].body["messages"]
    return [json.dumps(message["content"]) for message in messages if message["role"] == "user"]


def times(cloud: Cloud, text: str = QUESTION) -> int:
    """How often the last request to the model holds a text, whoever says it."""
    return json.dumps(cloud.completions()[-1].body["messages"]).count(text)


def reminded(cloud: Cloud) -> bool:
    return "No answer to" in asked(cloud)[-1]


def record(bench: Bench, chat: Chat) -> Path:
    [found] = (chat.folder / "agent").rglob(RECORDS[bench.agent])
    return found


async def written(bench: Bench, chat: Chat, text: str = QUESTION) -> None:
    """Wait until the agent has written a question down."""
    kinds = ('"context.append_message"', '{"role":"user"')
    with anyio.fail_after(SECONDS):
        while not any(text in line and line.count(kind) for kind in kinds for line in lines(bench, chat)):
            await anyio.sleep(0.02)


def lines(bench: Bench, chat: Chat) -> list[str]:
    return record(bench, chat).read_text().splitlines()


async def break_off(bench: Bench, engine: Any, chat: Chat, session: Any, question: Turn) -> AgentError:
    """Ask, and kill the container in the middle of the answer."""
    before = len(bench.cloud.completions())
    errors = []

    async def listen() -> None:
        errors.append(await failure(session, question))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.to_thread.run_sync(bench.cloud.wait_for_completions, before + 1)
        await written(bench, chat, question.messages[-1].text)
        for container in bench.containers(engine):
            engine.kill(container)
    return errors[0]


async def test_a_question_whose_container_was_killed_stands_once_in_the_conversation(
    either: Bench, engine: Any
) -> None:
    chat, question = either.chat(), turn(QUESTION)
    async with either.backend() as backend:
        async with backend.session(chat) as session:
            either.cloud.script(Hang(SECONDS, text="half of the ans"))
            assert (await break_off(either, engine, chat, session, question)).kind is Failure.CRASHED
        either.cloud.always(Say("a zebra"))
        async with backend.session(chat) as session:
            for _ in range(2):
                await ask(session, question)
                assert (times(either.cloud), reminded(either.cloud)) == (1, True)
            await ask(session, "and now for something else")
            assert (times(either.cloud), reminded(either.cloud)) == (1, False)


async def test_a_question_killed_again_and_again_stands_once_in_the_conversation(either: Bench, engine: Any) -> None:
    chat, question = either.chat(), turn(QUESTION)
    async with either.backend() as backend, backend.session(chat) as session:
        await ask(session, "hello")
        for attempt in range(2):
            either.cloud.script(Hang(SECONDS))
            await break_off(either, engine, chat, session, question)
            assert (times(either.cloud), reminded(either.cloud)) == (1, attempt > 0)
        await ask(session, question)
    assert (times(either.cloud), reminded(either.cloud)) == (1, True)


KILLED = """
    import sys, anyio
    from pathlib import Path
    from types import SimpleNamespace
    from testbed.kimi import Bench, ask
    from nanokimi_core import Inbound, Turn

    async def main(root, image, agent, installation, url, text):
        cloud = SimpleNamespace(base_url_coding=url, add_key=lambda key: key)
        bench = Bench(Path(root), cloud, image, agent=agent, installation=installation)
        async with bench.backend() as backend, backend.session(bench.chat()) as session:
            await ask(session, Turn("turn 1", (Inbound("message 1", "me", "ana", text, sender_name="Ana"),)))

    anyio.run(main, *sys.argv[1:])
"""


@pytest.mark.parametrize("what", ["in mid-answer", "in a tool"])
async def test_a_question_of_a_killed_process_stands_once_in_the_conversation(either: Bench, what: str) -> None:
    tests = Path(__file__).parents[3] / "tests"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(either.root), either.image, either.agent]
    command += [either.context.installation, either.cloud.base_url_coding, QUESTION]
    tool = CallTool(SHELLS[either.agent], {"command": "sleep 60"})
    either.cloud.script(Hang(SECONDS, text="half of the ans") if what == "in mid-answer" else tool)
    chat = either.chat()
    async with await anyio.open_process(command, stderr=None, env={**os.environ, "PYTHONPATH": str(tests)}) as killed:
        await anyio.to_thread.run_sync(either.cloud.wait_for_completions, 1)
        await written(either, chat)
        killed.send_signal(signal.SIGKILL)
    async with either.backend() as backend, backend.session(chat) as session:
        await ask(session, Turn("turn 1", (Inbound("message 1", "me", "ana", QUESTION, sender_name="Ana"),)))
    assert (times(either.cloud), reminded(either.cloud)) == (1, True)


async def test_a_question_that_failed_or_was_answered_in_vain_stands_once_in_the_conversation(either: Bench) -> None:
    refused, answered = turn("this-one-is-refused"), turn(QUESTION)
    async with either.backend(max_attempts=1) as backend, backend.session(either.chat()) as session:
        either.cloud.always(Fail(429, "rate_limit_reached_error", "slow down"))
        assert (await failure(session, refused)).kind is Failure.RATE_LIMIT
        either.cloud.always(None)
        await ask(session, refused)
        assert (times(either.cloud, "this-one-is-refused"), reminded(either.cloud)) == (1, True)
        either.cloud.script(Say("a zebra"))
        assert await ask(session, answered) == "a zebra"
        either.cloud.script(Say("a zebra, as I said"))
        assert await ask(session, answered) == "a zebra, as I said"
        assert (times(either.cloud), reminded(either.cloud)) == (1, True)


async def test_the_same_words_in_another_message_are_another_question(either: Bench) -> None:
    async with either.backend() as backend, backend.session(either.chat()) as session:
        for count in (1, 2):
            either.cloud.script(Say("a zebra"))
            await ask(session, turn(QUESTION))
            assert (times(either.cloud), reminded(either.cloud)) == (count, False)


async def test_a_question_that_the_agent_has_lost_is_asked_in_full_again(either: Bench, engine: Any) -> None:
    chat, question = either.chat(), turn(QUESTION)
    async with either.backend() as backend, backend.session(chat) as session:
        await ask(session, "hello")
        either.cloud.script(Hang(SECONDS))
        await break_off(either, engine, chat, session, question)
        kept = [line for line in lines(either, chat) if QUESTION not in line or "turn.prompt" in line]
        record(either, chat).write_text("".join(f"{line}\n" for line in kept))
        await ask(session, question)
    assert (times(either.cloud), reminded(either.cloud)) == (1, False)


async def test_messages_of_a_failed_turn_that_are_asked_one_by_one_stand_once_in_the_conversation(
    either: Bench,
) -> None:
    one, two, three = message("the-first-one"), message("the-second-one"), message("the-third-one")
    cloud = either.cloud
    async with either.backend(max_attempts=1) as backend, backend.session(either.chat()) as session:
        cloud.always(Fail(429, "rate_limit_reached_error", "slow down"))
        await failure(session, Turn("both", (one, two)))
        cloud.always(Say("well"))
        await ask(session, Turn("one", (one,)))
        assert "number 1 of the last 2 messages" in asked(cloud)[-1]
        await ask(session, Turn("two", (two,)))
        assert "number 2 of the last 2 messages" in asked(cloud)[-1]
        assert [times(cloud, part) for part in ("the-first-one", "the-second-one")] == [1, 1]
        await ask(session, Turn("more", (two, three)))
        assert [times(cloud, part) for part in ("the-first-one", "the-second-one", "the-third-one")] == [1, 1, 1]
        assert asked(cloud)[-1].index("number 2") < asked(cloud)[-1].index("the-third-one")


async def test_an_agent_killed_the_moment_after_its_answer_remembers_it(either: Bench, engine: Any) -> None:
    words = ["zebra", "yak", "ibex"]
    async with either.backend() as backend:
        for word in words:
            async with backend.session(either.chat()) as session:
                await ask(session, f"my word is {word}")
                engine.kill(either.containers(engine)[0])
        async with backend.session(either.chat()) as session:
            answer = await ask(session, "what did I say")
    assert [word for word in words if word in answer] == words


async def test_no_agent_of_a_killed_process_writes_into_a_home_that_another_one_uses(bench: Bench, engine: Any) -> None:
    left = {}
    for name in ("console:me", "console:another"):
        labels = Labels(bench.context.installation, "a-dead-process", bench.context.name, safe_name(name)).as_dict()
        left[name] = engine.create_container(bench.image, ["sleep", "600"], entrypoint="", labels=labels)["Id"]
        engine.start(left[name])
    async with bench.backend() as backend, backend.session(bench.chat()):
        running = bench.containers(engine)
        assert left["console:me"] not in running
        assert left["console:another"] in running
        assert len(running) == 2


async def test_what_was_said_meanwhile_and_new_instructions_go_along_with_a_repeated_question(bench: Bench) -> None:
    before, meanwhile, question = message("said-before"), message("said-meanwhile"), message(QUESTION)
    changed = bench.chat(instructions="Your name is Mia.")
    async with bench.backend(max_attempts=1) as backend:
        async with backend.session(bench.chat()) as session:
            bench.cloud.always(Fail(429, "rate_limit_reached_error", "slow down"))
            await failure(session, Turn("it", (question,), (before,)))
        async with backend.session(changed) as session:
            await failure(session, Turn("it", (question,), (before, meanwhile)))
            bench.cloud.always(Say("well"))
            await ask(session, Turn("it", (question,), (before, meanwhile)))
    said = ("said-before", "said-meanwhile", QUESTION, "Your name is Mia.")
    assert [times(bench.cloud, text) for text in said] == [1, 1, 1, 1]


async def test_nothing_is_asked_while_it_cant_be_noted_and_the_disk_is_named(bench: Bench) -> None:
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        await ask(session, "hello")
        asked_before = len(bench.cloud.completions())
        folder = bench.context.folder / "conversations"
        folder.rename(folder.with_name("away"))
        folder.write_text("in the way")
        error = await failure(session, QUESTION)
        assert (error.kind, len(bench.cloud.completions())) == (Failure.ENGINE, asked_before)
        assert "the data folder can't be" in str(error)
        folder.unlink()
        folder.with_name("away").rename(folder)
        await events(session, QUESTION)
