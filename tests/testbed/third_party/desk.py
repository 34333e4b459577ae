"""A transport: says what its table tells it to, and writes what it is sent into a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
from pydantic import BaseModel, ConfigDict

from nanokimi_core import Check, Context, Inbound, Inbox, Outbound, Spec, Transport, hookimpl


class DeskConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    out: Path
    say: tuple[str, ...] = ()
    ends: bool = False
    checks: tuple[str, ...] = ()


class Desk:
    def __init__(self, config: DeskConfig, context: Context) -> None:
        self.config = config

    async def run(self, inbox: Inbox) -> None:
        inbox.ready()
        for number, text in enumerate(self.config.say):
            await inbox.deliver(Inbound(str(number), "one", "ana", text))
        if not self.config.ends:
            await anyio.sleep_forever()

    async def send(self, message: Outbound) -> None:
        with self.config.out.open("a") as file:
            file.write(message.text + "\n")


async def check(config: DeskConfig, context: Context) -> Sequence[Check]:
    outcomes = {
        "ok": Check("desk: chair", "ok", "sturdy"),
        "warning": Check("desk: lamp", "warning", "dim", "clean it"),
    }
    outcomes["failed"] = Check("desk: leg", "failed", "broken off", "glue it: glue desk")
    if "hangs" in config.checks:
        await anyio.sleep(60)
    return [outcomes.get(name) or name for name in config.checks]  # type: ignore[misc]  # a wrong one is a test


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    commands = "testbed.third_party.desk_commands:app"
    return [Spec("desk", Desk, config=DeskConfig, check=check, commands=commands)]
