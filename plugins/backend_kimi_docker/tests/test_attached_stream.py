"""The engine's multiplexed stream and the agent's lines in it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from logging import LoggerAdapter

import anyio
import pytest
from anyio.abc import UNIXSocketStream
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_backend_kimi_docker.attach import MOST_NOISE, STDERR, STDOUT, AgentStream, Demultiplexer, Lines


def frame(number: int, payload: bytes) -> bytes:
    return bytes([number, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=50))), st.integers(1, 20))
def test_frames_come_out_whole_however_they_arrive(frames: list[tuple[int, bytes]], size: int) -> None:
    data = b"".join(frame(*one) for one in frames)
    demultiplexer = Demultiplexer()
    out = [one for start in range(0, len(data), size) for one in demultiplexer.feed(data[start : start + size])]
    assert out == frames


@pytest.mark.parametrize(
    "data", [b"\x03\0\0\0\0\0\0\1x", b"\x01\1\0\0\0\0\0\1x", b"HTTP/1.1 200", b"\x01\0\0\0\xff\0\0\0"]
)
def test_a_stream_that_is_not_multiplexed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not multiplexed"):
        list(Demultiplexer().feed(data))


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 20))
def test_lines_come_out_whole_however_they_arrive(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    cutter = Lines(1000, refuse=True)
    out = [line for start in range(0, len(data), size) for line in cutter.feed(data[start : start + size])]
    assert out == lines


def test_a_line_without_end_is_refused_or_cut() -> None:
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        list(Lines(10, refuse=True).feed(b"x" * 11))
    cutter = Lines(10, refuse=False)
    assert list(cutter.feed(b"x" * 11)) == [b"x" * 11]
    assert list(cutter.feed(b"y\n")) == [b"y"]


@pytest.mark.anyio
async def test_messages_errors_and_noise_go_their_own_ways(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    heard: list[str] = []
    log = LoggerAdapter(logging.getLogger("stream"), {})
    stream = AgentStream(await UNIXSocketStream.from_socket(ours), on_stderr=heard.append, log=log)
    theirs.sendall(
        frame(STDERR, b"warn") + frame(STDOUT, b'{"a":') + frame(STDERR, b"ing\n") + frame(STDOUT, b"1}\n\n")
    )
    theirs.sendall(frame(STDOUT, b'noise\n[1]\n{"b":2}\n'))
    assert await stream.receive() == {"a": 1}
    assert await stream.receive() == {"b": 2}
    assert heard == ["warning"]
    assert caplog.text.count("no ACP message") == 2
    await stream.send({"c": "é"})
    assert theirs.recv(100) == '{"c":"é"}\n'.encode()
    await stream.end_input()
    assert theirs.recv(100) == b""
    theirs.close()
    assert await stream.receive() is None
    assert stream.ended.is_set()
    await stream.close()
    with pytest.raises(ConnectionError):
        await stream.send({})
    await stream.end_input()
    assert await stream.receive() is None


@pytest.mark.anyio
async def test_a_broken_stream_ends_with_its_fault() -> None:
    ours, theirs = socket.socketpair()
    log = LoggerAdapter(logging.getLogger("stream"), {})
    stream = AgentStream(await UNIXSocketStream.from_socket(ours), on_stderr=list[str]().append, log=log)
    theirs.sendall(b"HTTP/1.1 500 Internal Server Error")
    with anyio.fail_after(30):
        assert await stream.receive() is None
    assert "not multiplexed" in stream.fault
    await stream.close()
    theirs.close()


async def fed(data: bytes, on_stderr: Callable[[str], None] = lambda _: None) -> AgentStream:
    """A stream that has read all of this."""
    ours, theirs = socket.socketpair()
    stream = AgentStream(
        await UNIXSocketStream.from_socket(ours), on_stderr=on_stderr, log=LoggerAdapter(logging.getLogger("fed"), {})
    )
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                await anyio.to_thread.run_sync(theirs.sendall, data)
                theirs.shutdown(socket.SHUT_WR)

            tasks.start_soon(send)
            while await stream.receive() is not None:
                pass
            tasks.start_soon(stream.close)
    theirs.close()
    return stream


@pytest.mark.anyio
async def test_a_line_nested_too_deep_is_noise() -> None:
    stream = await fed(frame(STDOUT, b"[" * 100_000 + b"\n"))
    assert (stream.fault, stream.ended.is_set()) == ("", True)


@pytest.mark.anyio
async def test_a_stream_whose_reader_fails_has_ended_with_a_fault() -> None:
    def broken(_: str) -> None:
        raise RuntimeError("broken reader")

    stream = await fed(frame(STDERR, b"word\n"), broken)
    assert (stream.fault, stream.ended.is_set()) == ("broken reader", True)


@pytest.mark.anyio
async def test_noise_is_logged_ten_times_without_secrets_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    stream = await fed(frame(STDOUT, b"\x1b[31mthe key is sk-abcdefghijkl\n" * 25))
    await stream.close()
    assert (stream.fault, caplog.text.count("is no ACP message")) == ("", 10)
    assert caplog.text.count("wrote 15 more lines that are no ACP messages") == 1
    assert "sk-abc" not in caplog.text
    assert "\x1b" not in caplog.text


@pytest.mark.anyio
async def test_an_agent_that_writes_nothing_but_noise_is_given_up() -> None:
    assert (await fed(frame(STDOUT, b"x\n" * MOST_NOISE))).fault == ""
    stream = await fed(frame(STDOUT, b"x\n" * (MOST_NOISE + 1)))
    assert f"more than {MOST_NOISE} lines" in stream.fault
