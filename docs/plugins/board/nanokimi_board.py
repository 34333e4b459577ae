"""A transport for the message board of ``board_server.py``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Self
from urllib.parse import quote

import anyio
import httpx
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import (
    Attachment,
    BaseUrl,
    Context,
    Inbound,
    Inbox,
    NotSent,
    Outbound,
    Receipt,
    Spec,
    Traits,
    Transport,
    Undeliverable,
    hookimpl,
    private_folder,
    safe_name,
)

WAIT = 25  # seconds that the board may take to answer that nothing has happened
EVENTS: dict[str, Literal["message", "edit", "revoke"]] = {"posted": "message", "changed": "edit", "removed": "revoke"}


def part(name: str) -> str:
    """Give a name as a part of a URL's path, whatever is in it."""
    return quote(name, safe="")


class BoardConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: BaseUrl
    token: SecretStr


class BoardTransport:
    traits = Traits(max_text=2000, markup="markdown", quotes="always", draft_interval=0.5)

    def __init__(self, config: BoardConfig, context: Context) -> None:
        self.files = context.folder / "files"
        self.http = httpx.AsyncClient(
            base_url=config.url,
            headers={"Authorization": f"Bearer {config.token.get_secret_value()}"},
            timeout=10,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    # ------------------------------------------------------------ what the board brings
    async def run(self, inbox: Inbox) -> None:
        me = (await self.asked("GET", "/me"))["name"]
        inbox.ready()
        while True:
            news = await self.asked("GET", "/events", params={"wait": WAIT}, timeout=WAIT + 10)
            for event in news["events"]:
                await inbox.deliver(await self.inbound(event, me))
                await self.asked("PUT", f"/seen/{event['number']}")

    async def inbound(self, event: dict[str, Any], me: str) -> Inbound:
        post, happened = event["post"], EVENTS[event["what"]]
        return Inbound(
            id=post["id"] if happened == "message" else f"event {event['number']}",
            chat=post["board"],
            sender=post["author"],
            text=post["text"],
            event=happened,
            target=None if happened == "message" else post["id"],
            thread=post["thread"],
            kind="group",
            mentions_me=f"@{me}" in post["text"],
            from_me=post["author"] == me,
            reply_to=post["answers"],
            attachments=tuple([await self.fetched(file) for file in post["files"]]),
        )

    async def fetched(self, file: dict[str, Any]) -> Attachment:
        path = private_folder(self.files) / safe_name(file["id"])
        async with self.http.stream("GET", f"/files/{part(file['id'])}") as response:
            response.raise_for_status()
            async with await anyio.open_file(path, "wb") as kept:
                async for piece in response.aiter_bytes():
                    await kept.write(piece)
        return Attachment(file["name"], file["type"], path, path.stat().st_size)

    # ------------------------------------------------------------ what goes to the board
    async def send(self, message: Outbound) -> Receipt | None:
        files = [await self.uploaded(f"{message.key}-{n}", file) for n, file in enumerate(message.attachments)]
        return Receipt((await self.posted(message, files=files))["id"])

    async def draft(self, message: Outbound) -> None:
        await self.posted(message, draft=True)

    async def typing(self, chat: str, on: bool) -> None:
        await self.asked("PUT", f"/boards/{part(chat)}/typing", json={"on": on})

    async def posted(self, message: Outbound, **more: Any) -> Any:
        content = {"text": message.text, "thread": message.thread, "answers": message.reply_to, **more}
        return await self.put(f"/boards/{part(message.chat)}/posts/{part(message.key)}", json=content)

    async def uploaded(self, key: str, file: Attachment) -> str:
        data = await anyio.Path(file.path).read_bytes()
        answer = await self.put(
            f"/files/{part(key)}", params={"name": file.name, "type": file.media_type}, content=data
        )
        return str(answer["id"])

    async def put(self, path: str, **request: Any) -> Any:
        """Put something on the board, and say in the core's words why it isn't there."""
        try:
            return await self.asked("PUT", path, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"the board is not to be reached: {error}") from error
        except httpx.HTTPStatusError as error:
            answer = error.response
            if answer.status_code in (429, 503):
                wait = timedelta(seconds=float(answer.headers.get("Retry-After", 1)))
                raise NotSent(f"the board is busy ({answer.status_code})", retry_after=wait) from error
            if answer.status_code in (403, 404, 413):
                raise Undeliverable(f"the board refuses it: {answer.json()['error']}") from error
            raise

    async def asked(self, method: str, path: str, **request: Any) -> Any:
        response = await self.http.request(method, path, **request)
        response.raise_for_status()
        return response.json()


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    return [Spec("board", BoardTransport, config=BoardConfig)]
