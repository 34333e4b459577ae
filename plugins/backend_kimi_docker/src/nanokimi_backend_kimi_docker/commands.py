"""The agent's own login, and its own refresh of a login, each in a container of its own."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath

import anyio

from nanokimi_backend_kimi_docker import beneath, failures
from nanokimi_backend_kimi_docker.agents.base import HOME
from nanokimi_backend_kimi_docker.codes import CodeReader
from nanokimi_backend_kimi_docker.container import Bind, Exit, Plan
from nanokimi_backend_kimi_docker.errand import Errand, carry_through
from nanokimi_backend_kimi_docker.failures import writing
from nanokimi_backend_kimi_docker.login_failures import ANEW, of_login
from nanokimi_backend_kimi_docker.login_files import check_mounts, has_login, owner_of
from nanokimi_backend_kimi_docker.mounts import User, device_id
from nanokimi_backend_kimi_docker.sandbox import Workshop
from nanokimi_core import AgentError, Failure, Mount, ShowCode, private_folder

PATIENCE = timedelta(minutes=15)
"""How long a login waits for a person; kimi-code itself waits no longer, and kimi-cli would for ever."""

_FIRST_SECONDS = 90.0
_REFRESH_SECONDS = 90.0
_THROUGH_SECONDS = 20.0
_SETTLE_SECONDS = 0.5
_MOST_AT_ONCE = 4


class KimiCommands:
    """The core's ``AgentCommands``.

    Args:
        workshop: What containers are made with.
        patience: How long a login waits for a person.
    """

    def __init__(self, workshop: Workshop, *, patience: timedelta = PATIENCE) -> None:
        self._workshop = workshop
        self._patience = patience
        self._logins: set[Errand] = set()
        self._refreshes: set[Errand] = set()

    async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        """Let the agent log in; a code that it has renewed is given, too. Ends when the login lies in the folder.

        Args:
            folder: Empty and private; becomes the agent's home.
            environment: Says which servers, as in ``Grant``.

        Raises:
            AgentError: It came to nothing; says why.
        """
        reader = CodeReader(self._patience)
        deadline = anyio.current_time() + _FIRST_SECONDS
        given = False
        plan = await self._plan(folder, self._workshop.agent.login, environment)
        async with self._begin(plan, self._logins) as errand:
            while (line := await self._line(errand, reader, deadline, given=given)) is not None:
                code = reader.take(line) if line else reader.flush()
                if code is not None:
                    deadline = deadline if given else anyio.current_time() + self._patience.total_seconds()
                    given = True
                    errand.forget_words()
                    yield code
            left, last_words = await errand.left(), errand.last_words
        await self._judge(left, last_words, folder, given=given)

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        """Let the agent refresh the login in these mounts, if it thinks that is due. No model is asked for anything.

        Args:
            mounts: As in the account's grant, all of them writable: a new token that can't be stored is lost.
            environment: As in the account's grant.

        Raises:
            AgentError: It could not be started, or has not succeeded.
        """
        check_mounts(mounts)
        agent = self._workshop.agent
        with writing():
            home = private_folder(self._workshop.own / "keepers" / secrets.token_hex(8))
        try:
            plan = await self._plan(home, agent.refresh, environment, mounts)
            left, last_words = await carry_through(
                partial(self._refresh, plan), within=_REFRESH_SECONDS, after_cancel=_THROUGH_SECONDS
            )
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(home, ignore_errors=True))
        if left.code:
            raise self._named(left, last_words)

    async def close(self) -> None:
        """End what still runs: logins at once, a refresh when it is through."""
        for errand in list(self._logins):
            await errand.close()
        with anyio.move_on_after(_THROUGH_SECONDS):
            for errand in list(self._refreshes):
                await errand.closed.wait()
        for errand in list(self._refreshes):
            await errand.close()

    # ----------------------------------------------------------------- the container
    def _begin(self, plan: Plan, among: set[Errand]) -> _Counted:
        if len(among) >= _MOST_AT_ONCE:
            raise AgentError(
                Failure.ENGINE,
                f"{_MOST_AT_ONCE} of the agent's commands run already",
                remedy="wait until one of them has ended",
            )
        return _Counted(Errand(self._workshop.engine, plan, self._workshop.context.log), among)

    async def _plan(
        self,
        home: Path,
        command: tuple[str, ...],
        environment: tuple[tuple[str, str], ...],
        mounts: tuple[Mount, ...] = (),
    ) -> Plan:
        shop = self._workshop
        if not command:
            raise AgentError(Failure.ENGINE, f"{shop.agent.name} has no login of its own")
        machine, user = await shop.engine.machine(), await shop.user()
        with writing():
            if mounts and user.owner is not None:
                user = await anyio.to_thread.run_sync(owner_of, mounts)
            binds = await anyio.to_thread.run_sync(self._prepare, home, mounts, user)
        return Plan(
            image=shop.image,
            command=command,
            user=user.inside,
            home=HOME,
            working_dir=HOME,
            binds=binds,
            environment={**shop.agent.environment(), **dict(environment)},
            labels=shop.labels.of_work("refresh") if mounts else shop.labels,
            limits=shop.config,
            cpus=machine.cpus,
        )

    def _prepare(self, home: Path, mounts: tuple[Mount, ...], user: User) -> tuple[Bind, ...]:
        agent = self._workshop.agent
        if user.owner is not None:
            beneath.give(home, user.owner)
        device = device_id(self._workshop.context.folder)
        for name, content in (("device_id", device), (agent.config_path.name, "")):
            beneath.ensure_file(home, PurePosixPath(name), content.encode(), owner=user.owner)
        for mount in mounts:
            if agent.home in mount.target.parents:
                beneath.ensure_folder(home, mount.target.relative_to(agent.home), owner=user.owner)
        binds = (Bind(mount.source, mount.target, mount.read_only) for mount in mounts)
        return (Bind(home, agent.home, read_only=False), *binds)

    # ----------------------------------------------------------------- how it went
    async def _line(self, errand: Errand, reader: CodeReader, deadline: float, *, given: bool) -> str | None:
        """Wait for a line; an empty one: nothing more is said of a code; ``None``: the login has ended.

        Raises:
            AgentError: The deadline has passed.
        """
        rest = max(0.0, deadline - anyio.current_time())
        with anyio.move_on_after(min(rest, _SETTLE_SECONDS) if reader.pending else rest):
            return await errand.line()
        if reader.pending:
            return ""
        if given:
            minutes = self._patience.total_seconds() / 60
            raise AgentError(Failure.CREDENTIALS, f"nobody agreed to the login within {minutes:g} minutes", remedy=ANEW)
        raise self._no_code(errand.last_words)

    async def _refresh(self, plan: Plan) -> tuple[Exit, str]:
        async with self._begin(plan, self._refreshes) as errand:
            return await self._follow(errand), errand.last_words

    async def _follow(self, errand: Errand) -> Exit:
        reader = CodeReader(PATIENCE)
        while (line := await errand.line()) is not None:
            if reader.take(line) is not None:
                raise AgentError(
                    Failure.CREDENTIALS,
                    f"{self._workshop.agent.name} wants a new login: the one that it has is refused, or not for these"
                    " servers",
                    remedy="log in again: nanokimi auth login",
                )
        return await errand.left()

    async def _judge(self, left: Exit, last_words: str, folder: Path, *, given: bool) -> None:
        """Compare how a login has ended with what lies in its folder."""
        with writing():
            there = await anyio.to_thread.run_sync(has_login, folder)
        if there:
            if left.code:
                self._workshop.context.log.warning("logged in; what came after it has failed: %s", last_words)
            return
        if left.code or given:
            raise self._named(left, last_words)
        raise self._no_code(last_words)

    def _no_code(self, last_words: str) -> AgentError:
        return AgentError(
            Failure.CRASHED,
            f"the agent's login printed nothing that looks like a code; it last said: {last_words or 'nothing'}",
            remedy="build the image again: nanokimi image build",
        )

    def _named(self, left: Exit, last_words: str) -> AgentError:
        shop = self._workshop
        if left.out_of_memory or left.gone or left.code in (None, *failures.NO_PROGRAM):
            return failures.from_exit(
                left, program=shop.agent.login[0], limit=shop.config.memory, last_words=last_words
            )
        return of_login(last_words)


class _Counted:
    """An errand that is known while it runs."""

    def __init__(self, errand: Errand, running: set[Errand]) -> None:
        self._errand = errand
        self._running = running

    async def __aenter__(self) -> Errand:
        self._running.add(self._errand)
        try:
            return await self._errand.__aenter__()
        except BaseException:
            self._running.discard(self._errand)
            raise

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._errand.close()
        finally:
            self._running.discard(self._errand)
