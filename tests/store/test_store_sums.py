"""Whatever happens in whatever order: the counters add up, and nothing that was accepted disappears."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanokimi_core.store import Claim, Ending, LeaseLost, Outcome, Role, Work
from nanokimi_core.store.sqlite import SqliteStore
from store.making import NET, Clock, answer, assert_sums, ids, said, want

CHATS = ("a", "b")
STEPS = st.sampled_from(
    ["accept"] * 8
    + ["edit", "revoke", "claim", "claim", "claim", "finish", "finish", "finish", "retry", "retry", "bury", "bury"]
    + ["stop", "cancel", "revive", "drop", "forget", "send", "give_up", "reopen", "crash", "prune", "count"]
)
STEP = st.tuples(STEPS, st.sampled_from(CHATS), st.integers(0, 9), st.sampled_from(list(Role)), st.booleans())
Name = tuple[str, str]


class Story:
    """Plays random steps on a store, and knows what has to come of them."""

    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self.path, self.stack = path, stack
        self.clock = Clock()
        self.store = SqliteStore(path, clock=self.clock)
        self.open: set[Name] = set()
        self.dead: set[Name] = set()
        self.held: dict[str, Work] = {}
        self.ghosts: list[tuple[SqliteStore, Work]] = []
        self.stopped: set[str] = set()
        self.ended: Counter[str] = Counter()
        self.owed = 0
        self.made = 0

    async def play(self, step: tuple[str, str, int, Role, bool]) -> None:
        what, chat, n, role, flag = step
        self.made += 1
        self.clock.now += 1
        if what in ("accept", "edit", "revoke"):
            await self.accept(what, chat, n, role, flag)
        elif what in ("finish", "retry", "bury", "stop"):
            await self.end(what, chat, flag)
        else:
            await getattr(self, what)(chat, n)
        await self.check()

    # ------------------------------------------------------------------ in
    async def accept(self, what: str, chat: str, n: int, role: Role, flag: bool) -> None:
        more = {} if what == "accept" else {"event": what, "target": str((n * 7 + self.made) % 10)}
        arrival = said(str(n), chat=chat, role=role, replies=(answer(f"r{self.made}", chat=chat),), **more)
        wanted = self.want(chat) if flag and chat not in self.held else None
        outcome, work, rows = await self.store.accept(arrival, wanted)
        self.owed += len(rows)
        assert (outcome is Outcome.DUPLICATE) is (not rows)
        if outcome is Outcome.ACCEPTED:
            assert not {(chat, str(n))} & (self.open | self.dead)
            if role in (Role.TURN, Role.ORDER):
                self.open.add((chat, str(n)))
            else:
                self.ended["context" if role is Role.CONTEXT else "command"] += 1
        elif outcome is Outcome.APPLIED:
            self.ended["edit"] += 1
            self.leave({(chat, more["target"])} & self.open if what == "revoke" else set(), "cancelled")
        self.hold(work)

    def want(self, chat: str) -> Claim:
        return want(f"t{self.made}", chat=chat, batch=3, context=2)

    def hold(self, work: Work | None) -> None:
        if work is not None:
            assert self.names(work) <= self.open
            assert work.chat not in self.held
            self.held[work.chat] = work

    def names(self, work: Work) -> set[Name]:
        return {(work.chat, id_) for id_ in ids(work)}

    def leave(self, names: set[Name], how: str) -> None:
        self.open -= names
        self.ended[how] += len(names)

    # ------------------------------------------------------------------ out
    async def claim(self, chat: str, _: int) -> None:
        work = await self.store.claim(self.want(chat))
        waits = chat not in self.held and any(name == chat for name, _ in self.open)
        assert (work is not None) is waits
        self.hold(work)

    async def end(self, what: str, chat: str, flag: bool) -> None:
        work = self.held.get(chat)
        if work is None:
            await self.end_ghosts()
            return
        if what == "stop":
            await self.store.cancel_claimed(NET, chat)
            self.stopped.add(chat)
            return
        del self.held[chat]
        owed = [answer(f"a{self.made}", chat=chat)]
        names, stopped = self.names(work), chat in self.stopped
        self.stopped.discard(chat)
        if what == "retry":
            rows = await self.store.retry(work, counted=flag, owed=owed)
            self.leave(names if stopped else set(), "cancelled")
        elif what == "bury":
            rows = await self.store.bury(work, "cause", owed)
            self.open -= names
            self.dead |= names
        else:
            wanted = self.want(chat) if flag else None
            rows, following = await self.store.finish(work, Ending.ANSWERED, owed, wanted)
            self.leave(names, "answered")
            self.hold(following)
        self.owed += len(rows)
        assert len(rows) == 1

    async def end_ghosts(self) -> None:
        """End work of before a crash or of a forgotten chat: nothing may come of it."""
        for store, work in self.ghosts:
            try:
                rows, _ = await store.finish(work, Ending.ANSWERED, [answer(f"g{self.made}", chat=work.chat)])
            except LeaseLost:
                continue
            assert not rows

    async def cancel(self, chat: str, _: int) -> None:
        waits = {name for name in self.open if name[0] == chat} - self.taken()
        assert await self.store.cancel_waiting(NET, chat) == len(waits)
        self.leave(waits, "cancelled")

    def taken(self) -> set[Name]:
        return {name for work in self.held.values() for name in self.names(work)}

    async def send(self, chat: str, n: int) -> None:
        rows = await self.store.owed(NET, chat, 0, 10)
        if rows:
            self.store.sent(rows[n % len(rows)], f"n{self.made}")
            self.owed -= 1
            self.ended["sent"] += 1

    # ------------------------------------------------------------------ dead letters, erasing
    async def give_up(self, chat: str, n: int) -> None:
        rows = await self.store.owed(NET, chat, 0, 10)
        if rows:
            await self.store.give_up(rows[n % len(rows)], "cause")
            self.owed -= 1

    async def revive(self, _: str, n: int) -> None:
        await self.letter(n, drop=False)

    async def drop(self, _: str, n: int) -> None:
        await self.letter(n, drop=True)

    async def letter(self, n: int, *, drop: bool) -> None:
        letters = await self.store.dead()
        if not letters:
            return
        letter = letters[n % len(letters)]
        assert await (self.store.drop if drop else self.store.revive)(letter.id) == letter
        if letter.kind == "answer":
            self.owed += not drop
            return
        name = (letter.chat.partition(":")[2], letter.text.removeprefix("text of "))
        self.dead.remove(name)
        if drop:
            self.ended["cancelled"] += 1
        else:
            self.open.add(name)

    async def forget(self, chat: str, n: int) -> None:
        if n % 3:
            return
        owed = len(await self.store.owed(NET, chat, 0, 1000))
        await self.store.forget(f"{NET}:{chat}")
        self.owed -= owed
        names = {name for name in self.open | self.dead if name[0] == chat}
        self.leave(names, "cancelled")
        self.dead -= names
        self.stopped.discard(chat)
        if chat in self.held:
            self.ghosts.append((self.store, self.held.pop(chat)))

    async def prune(self, _: str, n: int) -> None:
        await self.store.prune(self.clock.now - n)
        await self.store.vacuum()

    async def count(self, _: str, n: int) -> None:
        self.store.count("received", n)
        self.store.count("refused_cap", n)

    # ------------------------------------------------------------------ ends of a process
    async def reopen(self, _: str, __: int) -> None:
        await self.store.__aexit__(None, None, None)
        self.ghosts = [ghost for ghost in self.ghosts if ghost[0] is not self.store]
        await self.begin()

    async def crash(self, _: str, __: int) -> None:
        await self.store.counters()  # what was posted is with the next commit
        old, self.store = self.store, SqliteStore(self.path, clock=self.clock)
        self.ghosts += [(old, work) for work in self.held.values()]
        await self.begin()
        self.stack.push_async_exit(old)  # only ghosts use it from here on

    async def begin(self) -> None:
        await self.store.__aenter__()
        for chat, work in self.held.items():
            self.leave(self.names(work) if chat in self.stopped else set(), "cancelled")
        self.held.clear()
        self.stopped.clear()

    async def check(self) -> None:
        await assert_sums(self.store)
        now = await self.store.counters()
        assert (now["pending"], now["dead"], now["owed"]) == (len(self.open), len(self.dead), self.owed)
        for ending in ("answered", "context", "command", "cancelled", "edit", "sent"):
            assert now[ending] == self.ended[ending], ending

    async def drain(self) -> None:
        """In the end everything open is claimed, once."""
        await self.reopen("", 0)
        expected, seen = set(self.open), []
        for chat in CHATS:
            work = await self.store.claim(want("last", chat=chat))
            while work is not None:
                seen += [(chat, id_) for id_ in ids(work)]
                self.made += 1
                _, work = await self.store.finish(work, Ending.ANSWERED, (), want(f"last{self.made}", chat=chat))
        assert sorted(seen) == sorted(expected)
        await assert_sums(self.store)


async def tell(steps: list[tuple[str, str, int, Role, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            story = Story(Path(folder) / "store.db", stack)
            await story.begin()
            try:
                for step in steps:
                    await story.play(step)
                await story.drain()
            finally:
                await story.store.__aexit__(None, None, None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(st.lists(STEP, max_size=40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_counters_add_up_and_nothing_accepted_disappears(
    backend: str, steps: list[tuple[str, str, int, Role, bool]]
) -> None:
    anyio.run(tell, steps, backend=backend)
