"""What commands ask of the running process over its socket."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from control.hands import CODE, DESK, LETTER, STATUS, asking, process
from nanokimi_core import CommandError, ConfigError
from nanokimi_core.control import SOCKET, server
from nanokimi_core.control.calls import LISTED
from nanokimi_core.control.client import connect
from nanokimi_core.control.sockets import Connection, listening, reach
from nanokimi_core.control.wire import LONGEST_REQUEST, Gone, Wire
from nanokimi_core.errors import NanoKimiError, PluginError
from nanokimi_core.status import LoginAsked

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[tuple[Connection, BufferedByteReceiveStream]]:
    async with await reach(path) as stream:
        lines = BufferedByteReceiveStream(stream)
        assert json.loads(await lines.receive_until(b"\n", 1000)) == {"process": os.getpid()}
        yield stream, lines


async def test_values_arrive_as_they_were_sent(tmp_path: Path) -> None:
    async with process(tmp_path) as given, asking(given) as remote:
        assert await remote.status() == STATUS
        assert await remote.chats() == (DESK,)
        assert await remote.find("3") == DESK
        assert await remote.find("9") is None
        assert await remote.dead_letter("m4") == LETTER
        assert await remote.dead_letter("m5") is None


async def test_what_is_asked_is_done_once_each(tmp_path: Path) -> None:
    async with process(tmp_path) as given, asking(given) as remote:
        assert await remote.reload() == ("the assistant's name needs a restart",)
        assert await remote.log_in() == LoginAsked("purse", "waiting", CODE)
        assert await remote.log_in("work", DESK.id) == LoginAsked("work", "waiting", CODE)
        assert await remote.grant(DESK, True) is True
        assert await remote.grant(DESK, False) is False
        assert await remote.forget(DESK) == 12
        assert await remote.revive("m4") == LETTER
        assert await remote.drop("m5") is None
        assert given.hands.done == [
            "reload",
            "log in None ",
            "log in work line:desk",
            "grant line:desk True",
            "grant line:desk False",
            "forget line:desk",
            "revive m4",
            "drop m5",
        ]


async def test_a_list_of_dead_letters_cuts_their_texts_and_passes_the_filter_on(tmp_path: Path) -> None:
    async with process(tmp_path) as given, asking(given) as remote:
        (letter,) = await remote.dead(limit=5, chat="line:desk")
        assert letter.text == LETTER.text[:LISTED]
        assert given.hands.done == ["dead 5 line:desk"]


async def test_an_error_arrives_as_the_same_sentence_and_exit_code(tmp_path: Path) -> None:
    async with process(tmp_path) as given, asking(given) as remote:
        given.hands.error = ConfigError("line 3 is wrong", remedy="mend it")
        with pytest.raises(NanoKimiError) as raised:
            await remote.reload()
        assert str(raised.value) == "line 3 is wrong; mend it"
        assert raised.value.exit_code == ConfigError.exit_code
        given.hands.error = PluginError("torn")
        with pytest.raises(NanoKimiError, match=r"^torn$"):
            await remote.reload()


@pytest.mark.parametrize("error", [LookupError("no shelf"), SystemExit(3)])
async def test_a_fault_in_an_operation_ends_neither_the_connection_nor_the_service(
    tmp_path: Path, error: BaseException
) -> None:
    async with process(tmp_path) as given, asking(given) as remote:
        given.hands.error = error
        with pytest.raises(CommandError, match=f"fault of its own: {type(error).__name__}: "):
            await remote.status()
        given.hands.error = None
        assert await remote.status() == STATUS


GARBAGE = [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"\n", b"[" * 100_000 + b"\n", b'{"a":1' + b"x" * LONGEST_REQUEST]


@pytest.mark.parametrize("line", GARBAGE, ids=["text", "list", "no text", "nothing", "nested", "endless"])
async def test_garbage_is_answered_with_an_error_and_the_next_command_is_served(tmp_path: Path, line: bytes) -> None:
    async with process(tmp_path) as given:
        async with raw(given.path) as (stream, lines):
            await stream.send(line)
            answer = json.loads(await lines.receive_until(b"\n", 10_000))
            assert "doesn't understand this command" in answer["error"]["message"]
        async with asking(given) as remote:
            assert await remote.status() == STATUS


@pytest.mark.parametrize(
    "request_", [{"call": "explode"}, {}, {"call": "status", "more": 1}, {"call": "dead", "limit": 10**9}, {"call": []}]
)
async def test_a_request_of_another_version_is_refused_with_the_remedy(tmp_path: Path, request_: object) -> None:
    async with process(tmp_path) as given, raw(given.path) as (stream, lines):
        await stream.send(json.dumps(request_).encode() + b'\n{"call":"find","chat":"3"}\n')
        refused, found = [json.loads(await lines.receive_until(b"\n", 10_000)) for _ in range(2)]
        assert refused["error"]["remedy"] == "restart it, so that both are of the same version"
        assert found["answer"]["id"] == DESK.id


async def test_a_peer_that_cuts_a_line_short_harms_nobody(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        async with raw(given.path) as (stream, _):
            await stream.send(b'{"call":"sta')
        async with asking(given) as remote:
            assert await remote.status() == STATUS


async def test_one_command_too_many_is_refused_and_there_is_room_again_when_another_ends(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        wires = [await connect(given.path) for _ in range(server.MOST_CONNECTIONS)]
        with pytest.raises(CommandError, match="too many commands at once"):
            await connect(given.path)
        for wire in wires:
            await wire.aclose()
        while True:
            try:
                async with asking(given) as remote:
                    assert await remote.status() == STATUS
                    break
            except CommandError:
                await anyio.sleep(0.01)


async def test_a_command_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.05)
    async with process(tmp_path) as given, raw(given.path) as (_, lines):
        with pytest.raises(anyio.IncompleteRead):
            await lines.receive_until(b"\n", 100)


async def test_only_this_user_can_connect(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        found = given.path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_turned_away_even_where_the_mode_lets_them_in(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest") or folder.is_relative_to(tmp_path_factory.getbasetemp()):
            folder.chmod(0o755)
    async with process(tmp_path) as given:
        given.path.chmod(0o666)
        script = "import os, socket, sys; os.setuid(12345); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        words = [sys.executable, "-c", script + "print(s.recv(100))", str(given.path)]
        plain = {"PATH": os.environ["PATH"]}  # without what makes a child measure coverage: it may not write that
        other = await anyio.run_process(words, stderr=subprocess.STDOUT, check=False, env=plain)
        assert other.stdout == b"b''\n"


async def test_the_socket_of_a_killed_process_is_replaced_and_ours_is_removed(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / SOCKET))
    stale.close()
    async with process(tmp_path) as given, asking(given) as remote:
        assert await remote.status() == STATUS
    assert not (tmp_path / SOCKET).exists()


async def test_a_path_longer_than_a_sockets_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    async with process(deep) as given, asking(given) as remote:
        assert await remote.status() == STATUS
    assert not (deep / SOCKET).exists()


async def test_a_folder_that_takes_no_socket_is_named(tmp_path: Path) -> None:
    (tmp_path / SOCKET).mkdir()
    with pytest.raises(ConfigError, match=f"^the data folder {tmp_path} can't be used: "):
        async with listening(tmp_path / SOCKET):
            raise AssertionError("it listens")


async def test_nothing_follows_a_line_whose_sending_was_cut_short() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        async with Wire(Connection(ours), longest=100) as wire:
            with anyio.move_on_after(0.05):
                await wire.send({"text": "x" * 10_000_000})
            with pytest.raises(Gone):
                await wire.send({"text": "y"})
