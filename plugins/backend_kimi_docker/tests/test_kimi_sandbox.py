"""Sandboxes of the real kimi-code: shared ones, ones that die, ones that a killed process leaves behind."""

from __future__ import annotations

import sys
import textwrap
from contextlib import aclosing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AgentError, Failure, safe_name, write_private
from testbed.cloud import CallTool, Cloud, Say
from testbed.kimi import SECONDS, Bench, BenchContext, KeyAccount, ask, events, failure, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]


async def test_two_chats_of_one_sandbox_share_container_and_files_but_not_what_was_said(
    bench: Bench, engine: Any
) -> None:
    one, two = bench.chat("console:one", sandbox="family"), bench.chat("console:two", sandbox="family")
    async with bench.backend() as backend:
        async with backend.session(one) as first:
            async with backend.session(two) as second:
                assert len(bench.containers(engine)) == 1
                answers: list[str] = []

                async def put(session: Any, text: str) -> None:
                    answers.append(await ask(session, text))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(put, first, "my word is zebra")
                    tasks.start_soon(put, second, "my word is yak")
                assert sorted(answers) == ["heard: [Ana] my word is yak", "heard: [Ana] my word is zebra"]
                assert await ask(second, "what did I say") == "you said: [Ana] my word is yak"
                bench.cloud.script(CallTool("Bash", {"command": "echo from-one > shared.txt"}))
                await events(first, "write")
                bench.cloud.script(CallTool("Bash", {"command": "cat shared.txt"}))
                assert "from-one" in await ask(second, "read")
            assert len(bench.containers(engine)) == 1
            assert "zebra" in await ask(first, "what did I say")
            async with backend.session(two) as second:
                assert "[Ana] my word is yak" in await ask(second, "what did I say")
        assert bench.containers(engine) == []


async def test_a_container_killed_in_mid_answer_is_a_crash_and_the_next_turn_remembers(
    bench: Bench, engine: Any
) -> None:
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        await ask(session, "my word is zebra")
        bench.cloud.script(Say("one two three four five six", delay_between_chunks=0.5))

        async def count() -> None:
            async with aclosing(session.prompt(turn("count"))) as stream:  # type: ignore[type-var]
                async for _ in stream:
                    engine.kill(bench.containers(engine)[0])

        with pytest.raises(AgentError) as caught, anyio.fail_after(SECONDS):
            await count()
        assert caught.value.kind is Failure.CRASHED
        assert "137" in str(caught.value)
        assert "zebra" in await ask(session, "what did I say")


async def test_a_container_removed_between_turns_is_not_even_noticed(bench: Bench, engine: Any) -> None:
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        await ask(session, "my word is zebra")
        engine.remove_container(bench.containers(engine)[0], force=True)
        await anyio.sleep(0.3)
        assert "zebra" in await ask(session, "what did I say")


async def test_an_agent_that_does_not_fit_into_its_memory_names_the_limit(bench: Bench) -> None:
    async with bench.backend(memory="64m") as backend:
        with pytest.raises(AgentError, match="memory limit of 64m") as caught:
            async with backend.session(bench.chat()):
                pass
    assert caught.value.kind is Failure.OUT_OF_MEMORY
    assert caught.value.remedy == "raise memory in [plugins.kimi_docker]"


async def test_a_conversation_that_the_agent_has_lost_begins_anew(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    chat = bench.chat()
    stored = bench.context.folder / "conversations" / f"{safe_name(chat.id)}.kimi-code.json"
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            await ask(session, "my word is zebra")
        write_private(stored, stored.read_bytes().replace(b"session_", b"session_0"))
        async with backend.session(chat) as session:
            assert await ask(session, "what did I say") == "you said: nothing"
    assert "does not know the conversation of console:me any more" in caplog.text


async def test_a_chats_name_with_dots_and_slashes_stays_inside_the_data_folder(bench: Bench) -> None:
    name = "console:../../../../etc"
    chat = bench.chat(name, sandbox="../../etc")
    async with bench.backend() as backend, backend.session(chat) as session:
        await ask(session, "hello")
        assert "agent" in await backend.logs(chat, lines=5)
    written = {path.relative_to(bench.root).parts[0] for path in bench.root.rglob("*")}
    assert written == {"plugin", "chats"}
    assert not any(".." in path.parts for path in bench.root.rglob("*"))


ORPHAN = """
    import sys, anyio
    from pathlib import Path
    from testbed.cloud import Cloud
    from testbed.kimi import Bench

    async def main(root, image, installation):
        with Cloud() as cloud:
            bench = Bench(Path(root), cloud, image, installation=installation)
            async with bench.backend() as backend, backend.session(bench.chat()):
                print("up", flush=True)
                await anyio.sleep_forever()

    anyio.run(main, *sys.argv[1:])
"""


def generated(root: Path) -> list[Path]:
    """The configs that hold keys; in the agents' own folders are only empty places for them."""
    return [path for path in root.rglob("config.toml") if path.stat().st_size]


async def test_containers_of_a_killed_process_are_removed_at_the_next_start_and_no_others(
    bench: Bench, engine: Any, tmp_path: Path
) -> None:
    tests = Path(__file__).parents[3] / "tests"
    command = [sys.executable, "-c", textwrap.dedent(ORPHAN), str(tmp_path), bench.image]
    command.append(bench.context.installation)
    async with await anyio.open_process(command, stderr=None, env={"PYTHONPATH": str(tests)}) as killed:
        assert killed.stdout is not None
        assert await killed.stdout.receive() == b"up\n"
        killed.kill()
    left = bench.containers(engine)
    assert len(left) == 1
    assert generated(tmp_path) != []

    elsewhere = BenchContext(bench.context.folder, installation=bench.context.installation + "-other")
    namesake = BenchContext(bench.context.folder, name="another", installation=bench.context.installation)
    async with anyio.create_task_group() as tasks:
        for context in (elsewhere, namesake):
            async with bench.backend(context=context) as backend:
                tasks.start_soon(backend.run)
                await anyio.sleep(0.5)
                assert bench.containers(engine) == left
        async with bench.backend() as backend, backend.session(bench.chat("console:mine")):
            tasks.start_soon(backend.run)
            with anyio.fail_after(SECONDS):
                while left[0] in bench.containers(engine):
                    await anyio.sleep(0.1)
            assert len(bench.containers(engine)) == 1
        tasks.cancel_scope.cancel()
    assert generated(tmp_path) == []


async def test_two_processes_with_one_folder_do_not_disturb_each_other(
    bench: Bench, engine: Any, tmp_path: Path
) -> None:
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        made, configs = bench.containers(engine), generated(tmp_path)
        async with bench.backend() as other, anyio.create_task_group() as tasks:
            tasks.start_soon(other.run)
            assert (await other.agent_config(bench.chat())).default_model == "nanokimi"
            assert bench.containers(engine) == made
            tasks.cancel_scope.cancel()
        assert generated(tmp_path) == configs != []
        assert await ask(session, "hello") == "heard: [Ana] hello"
    assert generated(tmp_path) == []


async def test_a_line_too_long_to_be_acp_ends_the_turn_and_the_next_one_works(bench: Bench) -> None:
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        bench.cloud.script(CallTool("Bash", {"command": "head -c 100000000 /dev/zero | tr '\\0' x > /proc/1/fd/1"}))
        with anyio.fail_after(30):
            error = await failure(session, "flood")
            assert error.kind is Failure.CRASHED
            assert "a line of the agent is longer" in str(error)
            assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_an_image_that_is_missing_says_how_to_build_it(bench: Bench) -> None:
    async with bench.backend(image=None, build={"python_image": "nobody/has:this"}) as backend:
        with pytest.raises(AgentError, match="is not on this machine") as caught:
            async with backend.session(bench.chat()):
                pass
    assert caught.value.kind is Failure.ENGINE
    assert caught.value.remedy == "build it with: nanokimi image build"


async def test_an_agent_on_the_default_network_reaches_a_server_that_is_not_its_own_loopback(
    bench: Bench, engine: Any
) -> None:
    network = ip_network(engine.inspect_network("bridge")["IPAM"]["Config"][0]["Subnet"])
    with Cloud(str(next(network.hosts()))) as cloud:
        account = KeyAccount(cloud, bench.root / "gate")
        async with bench.backend(network="bridge") as backend, backend.session(bench.chat(auth=account)) as session:
            assert await ask(session, "hello") == "heard: [Ana] hello"


async def test_a_network_that_does_not_exist_is_named(bench: Bench, engine: Any) -> None:
    bench.key.base_url = "https://api.example.org/v1"
    async with bench.backend(network="no-such-network") as backend:
        with pytest.raises(AgentError, match="no-such-network") as caught:
            async with backend.session(bench.chat()):
                pass
    assert caught.value.kind is Failure.ENGINE
    assert bench.containers(engine) == []


async def test_a_session_that_waits_for_a_fresh_agent_lets_the_running_turn_end_first(bench: Bench) -> None:
    one, two = bench.chat("console:one", sandbox="family"), bench.chat("console:two", sandbox="family")
    bench.cloud.script(Say("one two three four", delay_between_chunks=0.3))
    answers: list[str] = []
    async with bench.backend() as backend, backend.session(one) as first, anyio.create_task_group() as tasks:

        async def count() -> None:
            answers.append(await ask(first, "count"))

        tasks.start_soon(count)
        await anyio.sleep(0.5)
        bench.key.fingerprint = "2"
        async with backend.session(two) as second:
            assert answers == ["one two three four"]
            await ask(second, "hello")
        assert "heard: [Ana] still there" in await ask(first, "still there")


async def test_a_failing_turn_says_when_its_agent_is_gone_for_good(bench: Bench, engine: Any) -> None:
    bench.cloud.script(CallTool("Bash", {"command": "sleep 0.3; kill -9 -1"}))
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        error = await failure(session, "end yourself")
    assert error.kind is Failure.CRASHED
    assert "nanokimi debug logs" in error.remedy


async def test_a_data_folder_that_cant_be_written_is_named(bench: Bench, engine: Any) -> None:
    async with bench.backend() as backend:
        [own] = (bench.root / "plugin" / "running").iterdir()
        for name in ("sandboxes", "trials"):
            (own / name).write_text("in the way")
        with pytest.raises(AgentError, match="the data folder can't be written") as caught:
            async with backend.session(bench.chat()):
                pass
        assert caught.value.kind is Failure.ENGINE
        with pytest.raises(AgentError, match="the data folder can't be written"):
            await backend.agent_config(bench.chat())
    assert bench.containers(engine) == []
