import json

import anyio
from anyio.streams.buffered import BufferedByteStream
from pydantic import BaseModel

from nanokimi_core import Context, Inbound, Inbox, NotSent, Outbound, Spec, Transport, hookimpl


class LineConfig(BaseModel):
    path: str


class Line:
    def __init__(self, config: LineConfig, context: Context) -> None:
        self.path = config.path

    async def run(self, inbox: Inbox) -> None:
        async with BufferedByteStream(await anyio.connect_unix(self.path)) as self.stream:
            inbox.ready()
            while True:
                await inbox.deliver(Inbound(**json.loads(await self.stream.receive_until(b"\n", 65536))))

    async def send(self, message: Outbound) -> None:
        try:
            await self.stream.send(json.dumps({"key": message.key, "text": message.text}).encode() + b"\n")
        except (AttributeError, anyio.ClosedResourceError):
            raise NotSent("there is no line now") from None


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    return [Spec("line", Line, config=LineConfig)]
