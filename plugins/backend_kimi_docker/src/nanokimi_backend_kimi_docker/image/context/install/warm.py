"""Start an agent once over ACP: proves that it is the pinned version, and fills the caches that a start fills."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import IO, cast

LIMIT = 120.0


def main(executable: str, version: str) -> None:
    """Run ``executable acp``, let it initialise, and compare the version that it names."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}
    with subprocess.Popen([executable, "acp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        watch = threading.Timer(LIMIT, agent.kill)
        watch.start()
        # kimi-cli leaves without an answer when its input ends, so it ends only after the answer.
        with cast(IO[str], agent.stdin) as ask:
            ask.write(json.dumps(request) + "\n")
            ask.flush()
            answer = cast(IO[str], agent.stdout).readline()
        agent.wait()
        watch.cancel()
    found = json.loads(answer)["result"]["agentInfo"]["version"] if answer else "nothing"
    if found != version:
        sys.exit(f"{executable} should be version {version}, and answered {found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
