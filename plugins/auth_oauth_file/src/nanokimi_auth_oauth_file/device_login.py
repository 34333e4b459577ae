"""A login by a code, made by the agent's own program in a folder that exists only for it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from itertools import islice
from logging import LoggerAdapter
from pathlib import Path
from typing import Any

from anyio import CancelScope, to_thread

from nanokimi_auth_oauth_file.keeping.locks import FileLock
from nanokimi_core import AgentCommands, AgentError, LoginNeeded, ShowCode, private_folder

_PREFIX = "login-"
_MOST_LEFT = 100


class DeviceLogin:
    """Logs in by a code, one login at a time for each instance, whichever process it is in.

    Args:
        folder: The instance's own.
        log: Names what can't be removed.
    """

    def __init__(self, folder: Path, log: LoggerAdapter[Any]) -> None:
        self._folder = folder
        self._log = log

    async def run(
        self, agent: AgentCommands, environment: tuple[tuple[str, str], ...], store: Callable[[Path], Awaitable[None]]
    ) -> AsyncGenerator[ShowCode, None]:
        """Show codes until the person has confirmed one, and have what came of it stored.

        Args:
            agent: Its program.
            environment: Of the program.
            store: Takes the login over from the folder that it gets, which is removed then, whatever comes.

        Raises:
            LoginNeeded: It came to nothing, or another login is under way; says what to do.
            ConfigError: No backend that runs can do it.
        """
        lock = FileLock(self._folder / "login.lock")
        if not await to_thread.run_sync(lock.try_take):
            raise LoginNeeded("another login of this account is under way: confirm that one, or end it and begin again")
        folder = self._folder / f"{_PREFIX}{secrets.token_hex(6)}"
        try:
            await to_thread.run_sync(self._remove_others)
            await to_thread.run_sync(private_folder, folder)
            async with aclosing(_generator(agent.log_in(folder, environment))) as codes:
                async for code in codes:
                    yield code
            await store(folder)
        except AgentError as error:
            raise LoginNeeded(f"{error}; {error.remedy or 'run: nanokimi auth login'}") from None
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(self._remove, folder)
            lock.release()

    def _remove_others(self) -> None:
        """Remove what logins left whose process was killed: nobody else can be at one while the lock is held."""
        for path in islice(self._folder.glob(f"{_PREFIX}*"), _MOST_LEFT):
            if path.is_dir() and not path.is_symlink():
                self._remove(path)

    def _remove(self, folder: Path) -> None:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            self._log.warning("%s, in which an agent has logged in, can't be removed: %s", folder, error.strerror)


async def _generator(codes: AsyncIterator[ShowCode]) -> AsyncGenerator[ShowCode, None]:
    """Make a generator of any iterator, so that it can be closed."""
    close = getattr(codes, "aclose", None)
    try:
        async for code in codes:
            yield code
    finally:
        if close is not None:
            await close()
