"""An ACP agent that does as the prompt says; runs in a container, with Python's standard library only.

It knows ``load`` but not ``resume``, and runs the hooks of its config like the real ones do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path("/workspace/.agent")
CONFIG = Path("/home/node/.scripted/config.toml")


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def say(session: str, text: str) -> None:
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": session, "update": update}})


def hook(session: str, event: str, **more: str) -> None:
    record = json.dumps({"hook_event_name": event, "session_id": session, **more})
    for one in tomllib.loads(CONFIG.read_text())["hooks"]:
        if one["event"] == event:
            subprocess.run(one["command"], shell=True, input=record, text=True, check=True)  # noqa: S602  # what a hook is


def initialize(params: dict[str, Any]) -> dict[str, Any]:
    del params
    if (FOLDER / "mute").exists():
        time.sleep(600)
    version = (FOLDER / "version").read_text() if (FOLDER / "version").exists() else "1.0.7"
    return {
        "protocolVersion": 1,
        "agentInfo": {"name": "scripted", "version": version},
        "agentCapabilities": {"loadSession": not (FOLDER / "forgetful").exists()},
    }


def new(params: dict[str, Any]) -> dict[str, Any]:
    del params
    FOLDER.mkdir(exist_ok=True)
    session = f"s{len(list(FOLDER.glob('s*')))}"
    (FOLDER / session).write_text("")
    return {"sessionId": "../s" if (FOLDER / "climbing").exists() else session}


def load(params: dict[str, Any]) -> dict[str, Any]:
    for line in (FOLDER / params["sessionId"]).read_text().splitlines():
        say(params["sessionId"], f"again: {line}")
    return {}


def prompt(params: dict[str, Any]) -> dict[str, Any]:
    session, asked = params["sessionId"], params["prompt"][0]["text"]
    before = (FOLDER / session).read_text()
    (FOLDER / session).write_text(before + asked.splitlines()[-1] + "\n")
    order = asked.rpartition("] ")[2]
    if order == "refuse":
        return {"stopReason": "refusal"}
    if order == "be rude":
        say(session, "no")
        while True:
            time.sleep(1)
    if order == "flood":
        for number in range(30_000):
            say(session, f"{number} ")
        time.sleep(20)
    if order == "say something large":
        say(session, "x" * 20_000_000)
    if order == "say nothing":
        return {"stopReason": "end_turn"}
    if order == "break the protocol":
        return {"stopReason": 7}
    say(session, f"before: {before.count(chr(10))}, now: {order}")
    hook(session, "Stop")
    return {"stopReason": "end_turn"}


METHODS = {"initialize": initialize, "session/new": new, "session/load": load, "session/prompt": prompt}


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            send({"id": message["id"], "result": METHODS[message["method"]](message.get("params", {}))})


if __name__ == "__main__":
    main()
