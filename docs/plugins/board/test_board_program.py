"""The board as a program: what is typed is on the board, and what the assistant posts is shown."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import nanokimi_board

PROGRAM = Path(__file__).parent / "board_server.py"


def test_what_is_typed_is_posted_and_what_the_assistant_posts_is_shown() -> None:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        table = tomllib.loads("".join(program.stdout.readline() for _ in range(3)))["plugins"]["board"]
        assert nanokimi_board.BoardConfig.model_validate(table).url == table["url"]
        program.stdin.write("hello\n")
        program.stdin.flush()
        account = {"Authorization": f"Bearer {table['token']}"}
        with httpx.Client(base_url=table["url"], headers=account, timeout=30) as http:
            (event,) = http.get("/events", params={"wait": 20}).json()["events"]
            http.put("/boards/lobby/posts/1", json={"text": "good morning"}).raise_for_status()
        assert (event["post"]["author"], event["post"]["text"]) == ("ana", "hello")
        assert program.stdout.readline() == "kai: good morning\n"
        program.stdin.close()
        assert program.wait(20) == 0
