"""One refresh for all who need it, on disk before anybody hears of it."""

from __future__ import annotations

import json
import logging
import os
import stat
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem
from nanokimi_auth_oauth_file.keeping.keeper import Keeper
from nanokimi_auth_oauth_file.keeping.state import read_state
from nanokimi_core import AccountAway
from testbed.cloud_faults import Slow
from testbed.kept import Kept, text, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_token_that_lives_is_given_without_a_request(kept: Kept) -> None:
    login = kept.log_in(900)
    found = await kept.keeper().fresh()
    assert text(found.access_token) == login["access_token"]
    assert kept.cloud.refreshes == 0


async def test_an_ended_token_is_refreshed_and_what_is_unknown_in_the_file_stays(kept: Kept) -> None:
    kept.log_in(-5, future={"kept": ["as", 1]}, scope="kimi-code")
    found = await kept.keeper().fresh()
    assert kept.cloud.accepts(text(found.access_token))
    on_disk = kept.read()
    assert on_disk["access_token"] == text(found.access_token)
    assert on_disk["future"] == {"kept": ["as", 1]}
    assert kept.spendable


async def test_sixteen_that_need_it_at_once_share_one_refresh(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.script(Slow(0.05))
    keeper, got = kept.keeper(), set()

    async def need() -> None:
        got.add(text((await keeper.fresh()).access_token))

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(need)
    assert len(got) == 1
    assert kept.cloud.oauth.refresh_requests == 1


async def test_sixteen_refusals_of_one_token_are_one_refresh_and_a_late_one_none(kept: Kept) -> None:
    kept.log_in(900)
    keeper, got = kept.keeper(), set()
    mark = keeper.mark(await keeper.fresh())
    kept.cloud.expire_access_tokens()

    async def refused() -> None:
        got.add(text((await keeper.renew(mark)).access_token))

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(refused)
    await refused()
    assert len(got) == 1
    assert all(kept.cloud.accepts(token) for token in got)
    assert kept.cloud.oauth.refresh_requests == 1


async def test_the_new_login_is_on_disk_before_anybody_is_told(kept: Kept) -> None:
    kept.log_in(-5)
    on_disk: list[bool] = []

    async def changed(login: Login) -> None:
        on_disk.append(kept.read()["access_token"] == text(login.access_token))

    await kept.keeper(changed=changed).fresh()
    assert on_disk == [True, True]  # as it was found, and as it is now


async def test_who_is_told_of_logins_is_told_of_one_at_a_time_and_of_the_newest_last(kept: Kept) -> None:
    old = kept.log_in(900)
    began, told = anyio.Event(), list[str]()

    async def changed(login: Login) -> None:
        if not began.is_set():
            began.set()
            await anyio.sleep(0.05)
        told.append(text(login.access_token))

    keeper = kept.keeper(changed=changed)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.fresh)
        await began.wait()
        new = kept.log_in(900)
        tasks.start_soon(keeper.fresh)
    assert told == [old["access_token"], new["access_token"]]


async def test_cancelling_who_waits_loses_no_answer(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.script(Slow(5, after=True))
    keeper = kept.keeper()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.fresh)
        await until(lambda: kept.cloud.refreshes == 1)
        tasks.cancel_scope.cancel()
        kept.cloud.oauth.release()
    assert kept.spendable


async def test_what_another_process_has_refreshed_meanwhile_is_used_and_nothing_is_sent(kept: Kept) -> None:
    kept.log_in(900)
    ours, theirs = kept.keeper(), kept.keeper()
    mark = ours.mark(await ours.fresh())
    await theirs.renew(mark)
    found = await ours.renew(mark)
    assert text(found.access_token) == kept.read()["access_token"]
    assert kept.cloud.oauth.refresh_requests == 1


async def test_two_processes_at_the_same_moment_make_one_refresh(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.script(Slow(0.05))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.keeper().fresh)
        tasks.start_soon(kept.keeper().fresh)
    assert (kept.cloud.oauth.refresh_requests, kept.cloud.oauth.reuses) == (1, 0)


async def test_the_file_is_private_whole_and_alone(kept: Kept) -> None:
    kept.log_in(-5)
    kept.file.chmod(0o644)
    await kept.keeper().fresh()
    assert stat.S_IMODE(kept.file.stat().st_mode) == 0o600
    assert kept.file.read_text()[-2:] == "}\n"
    assert sorted(path.name for path in kept.credentials.iterdir()) == ["kimi-code.json", "kimi-code.lock"]


async def test_as_root_the_login_and_the_agents_locks_belong_to_the_logins_user(kept: Kept) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    kept.log_in(-5)
    for path in (kept.credentials, kept.file):
        os.chown(path, 1000, 1000)
    await kept.keeper().fresh()
    for path in (kept.file, kept.credentials / "kimi-code.lock", kept.folder / "oauth"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1000, 1000), path


async def test_a_login_that_the_owner_brings_is_noticed_without_a_restart(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(kept.keeper()):
        await until(lambda: len(kept.seen) == 1)
        brought = kept.log_in(900)
        await until(lambda: len(kept.seen) == 2)
    assert text(kept.seen[-1].access_token) == brought["access_token"]
    assert kept.cloud.refreshes == 0


async def test_a_login_that_appears_later_is_kept(kept: Kept) -> None:
    keeper = kept.keeper()
    async with kept.running(keeper):
        await until(lambda: keeper.state.kind == "login_needed")
        kept.log_in(-5)
        await until(lambda: kept.cloud.refreshes == 1)
        await until(lambda: not keeper.state.kind)
    assert kept.spendable


async def test_a_login_without_refresh_token_serves_while_it_lives(kept: Kept) -> None:
    login = kept.put(kept.cloud.new_login(900) | {"refresh_token": ""})
    keeper = kept.keeper()
    assert text((await keeper.fresh()).access_token) == login["access_token"]
    kept.times.go(901)
    with pytest.raises(LoginProblem) as caught:
        await keeper.fresh()
    assert caught.value.kind == "expired"


@pytest.mark.parametrize("credentials", ["access-only", "shared"])
async def test_an_emptied_login_asks_for_a_new_one(kept: Kept, credentials: str) -> None:
    emptied = Kept(kept.folder, kept.cloud, credentials=credentials)
    keeper = emptied.keeper()
    emptied.put(kept.cloud.new_login(900) | {"refresh_token": "", "access_token": "", "expires_at": 0})
    async with emptied.running(keeper):
        await until(lambda: keeper.state.kind == "login_needed")
    with pytest.raises(LoginProblem) as caught:
        await keeper.fresh()
    assert caught.value.kind == "revoked"


async def test_a_login_of_another_server_is_never_sent_to_this_one(kept: Kept) -> None:
    kept.log_in(-5)
    (kept.folder / "origins.json").write_text(json.dumps({"kimi-code": "https://auth.kimi.com"}))
    with pytest.raises(LoginProblem, match=r"is from https://auth\.kimi\.com"):
        await kept.keeper().fresh()
    assert kept.cloud.oauth.token_requests == 0


async def test_shared_directories_are_watched_and_not_refreshed(kept: Kept) -> None:
    shared = Kept(kept.folder, kept.cloud, credentials="shared")
    login = shared.log_in(-5)
    keeper = shared.keeper()
    async with shared.running(keeper):
        await until(lambda: len(shared.seen) == 1)
        assert text((await keeper.fresh()).access_token) == login["access_token"]
        shared.log_in(-5)
        await until(lambda: len(shared.seen) == 2)
    assert shared.cloud.oauth.refresh_requests == 0


async def test_tokens_refused_as_fast_as_they_come_dont_make_it_hammer(kept: Kept) -> None:
    kept.log_in(900)
    keeper = kept.keeper()
    login = await keeper.fresh()
    for _ in range(5):
        login = await keeper.renew(keeper.mark(login))
    with pytest.raises(AccountAway, match="refuses every token") as caught:
        await keeper.renew(keeper.mark(login))
    assert caught.value.retry_after is not None
    assert kept.cloud.oauth.refresh_requests == 5
    kept.times.go(601)
    await keeper.renew(keeper.mark(login))


async def test_the_state_can_be_read_by_another_process(kept: Kept) -> None:
    kept.log_in(-5)
    keeper = kept.keeper()
    async with kept.running(keeper):
        await until(lambda: (read_state(kept.folder) or keeper.state).last_refresh is not None)
        await until(lambda: read_state(kept.folder) == keeper.state)
    state = read_state(kept.folder)
    assert state is not None
    assert state.last_refresh is not None
    assert state.next_refresh is not None
    assert 350 < (state.next_refresh - state.last_refresh).total_seconds() < 410


async def test_a_refresh_that_another_process_has_noted_stays_known(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(keeper := kept.keeper()):
        await until(lambda: keeper.state.next_refresh is not None)
        await kept.keeper().renew(None)
        kept.log_in(3600)
        await until(lambda: kept.seen[-1].expires_in == 3600)
        await until(lambda: keeper.state.next_refresh == getattr(read_state(kept.folder), "next_refresh", None))
    assert getattr(read_state(kept.folder), "last_refresh", None) is not None


async def test_the_state_is_written_only_when_it_changes(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(keeper := kept.keeper()):
        await until(lambda: read_state(kept.folder) == keeper.state and keeper.state.next_refresh is not None)
        written, asked = (kept.folder / "keeper.json").stat(), kept.times.asked
        await until(lambda: kept.times.asked > asked + 30)
        now = (kept.folder / "keeper.json").stat()
    assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


async def test_no_token_is_in_any_log_or_state_file(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kept.log_in(-5)
    keeper: Keeper = kept.keeper()
    mark = keeper.mark(await keeper.fresh())
    await keeper.renew(mark)
    kept.cloud.oauth.revoke()
    with pytest.raises(LoginProblem) as caught:
        await keeper.renew(None)
    said = caplog.text + str(caught.value) + repr(caught.value) + repr(keeper.state) + "".join(kept.context.told)
    said += "".join(file.read_text("latin-1") for file in kept.folder.iterdir() if file.is_file())
    tokens = kept.cloud.oauth.issued()
    assert len(tokens) == 6
    assert not [token for token in tokens if token in said or token.split(".")[2] in said]
    assert tokens[-1] in kept.file.read_text()  # so they would be found
