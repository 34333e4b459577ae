"""Processes that keep a login: each refreshes as fast as it can until it is killed. They are forked, to start at once.

Run with the instance's folder and the login server as arguments: each line on stdin starts one, whose process id is
written; when it has ended, another line says so.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import anyio
from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.login import LoginProblem
from nanokimi_auth_oauth_file.keeping.keeper import Keeper
from nanokimi_auth_oauth_file.keeping.server import LoginServer, Refused
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AccountAway
from testbed.context import PluginContext

SAID = "said"
"""The file, in the instance's folder, that takes what a process says of a lost login."""


async def live(folder: Path, host: str) -> None:
    """Refresh until the login is lost, and say why."""
    context = PluginContext(folder, "oauth_file")
    keeper = Keeper(context, Settings(oauth_host=host, base_url=f"{host}/coding/v1"))
    while True:
        try:
            await keeper.renew(None)
        except AccountAway as error:
            context.log.warning("%s", error)
            await anyio.sleep(0.005)
        except LoginProblem as problem:
            (folder / SAID).write_text(problem.cause)
            return


def main() -> None:
    """Fork one after the other."""
    folder, host = Path(sys.argv[1]), sys.argv[2]
    logging.basicConfig(filename=folder / "log", level=logging.WARNING)
    with suppress(Refused):  # so that all that is imported at first need is there for those that are forked
        anyio.run(LoginServer(host, folder).refresh, SecretStr("none"))
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            anyio.run(live, folder, host)
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
