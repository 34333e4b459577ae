"""The transport for the message board, tried against the board."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

import nanokimi_board
import pytest
from board_server import Board, BoardServer, Post, Refused

from nanokimi_core.testing import TransportRig, TransportSuite

TOKEN = "the-token-of-kai"


class BoardRig(TransportRig):
    """The board, with the assistant's account ``kai`` and a person ``ana``."""

    (spec,) = nanokimi_board.nanokimi_transports()
    chat = "lobby"
    keeps = True
    shows_a_key_once = True
    secrets = (TOKEN,)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.board = Board(kai=TOKEN, ana="the-token-of-ana")
        self.server = BoardServer(self.board)
        self.written = 0

    async def __aexit__(self, *error: object) -> None:
        self.server.close()

    def table(self) -> dict[str, str]:
        return {"url": self.server.url, "token": TOKEN}

    def posts(self, chat: str) -> list[Post]:
        return self.board.by("kai", chat)

    def say(self, text: str, *, author: str = "ana", thread: str | None = None, files: Sequence[str] = ()) -> None:
        self.written += 1
        self.board.put(author, self.chat, f"rig-{self.written}", text, thread=thread, files=files)

    async def write(self, text: str) -> None:
        self.say(text)

    async def shown(self, chat: str) -> list[str]:
        return [post.text for post in self.posts(chat) if post.thread is None]

    # ------------------------------------------------------------ what a board can do besides
    async def acknowledged(self) -> Collection[str]:
        return [event.post.text for event in self.board.events[: self.board.seen["kai"]]]

    async def bring_again(self) -> None:
        last = max(event.number for event in self.board.events if event.post.author == "ana")
        with self.board.changed:
            self.board.seen["kai"] = min(self.board.seen["kai"], last - 1)
            self.board.changed.notify_all()

    async def cut(self) -> None:
        self.server.cut()

    async def refuse_lines(self) -> None:
        self.server.close()

    async def fall_silent(self) -> None:
        self.server.silent = True
        self.server.cut()

    async def throttle_next(self) -> timedelta:
        self.server.trouble.append(Refused(429, "not so fast", Retry_After="7"))
        return timedelta(seconds=7)

    async def forbid_next(self) -> None:
        self.server.trouble.append(Refused(403, "ana has blocked kai"))

    async def lose_next(self) -> None:
        self.server.trouble.append("cut")

    async def write_file(self, name: str, data: bytes, text: str) -> None:
        file = self.board.keep("ana", f"file-{self.written}", name, "image/png", data)
        self.say(text, files=[file.id])

    async def shown_files(self, chat: str) -> list[tuple[str, bytes]]:
        return [(file.name, self.board.files[file.id][1]) for post in self.posts(chat) for file in post.files]

    async def typing_shown(self, chat: str) -> bool:
        return self.board.types("kai", chat)

    async def edit(self, text: str) -> None:
        self.board.change("ana", f"rig-{self.written}", text)

    async def revoke(self) -> None:
        self.board.remove("ana", f"rig-{self.written}")

    async def mention(self, text: str) -> None:
        self.say(f"@kai {text}")

    async def write_in_thread(self, thread: str, text: str) -> None:
        self.say(text, thread=thread)

    async def shown_in_thread(self, thread: str) -> list[str]:
        return [post.text for post in self.posts(self.chat) if post.thread == thread]

    async def write_from_me(self, text: str) -> None:
        self.say(text, author="kai")

    async def garbage(self, data: bytes) -> None:
        with self.board.changed:
            self.server.garbage.append(data)
            self.board.changed.notify_all()


# httpx, cancelled while it writes, leaves a generator to the garbage collector, which trio warns of.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
class TestBoard(TransportSuite):
    rig = BoardRig
