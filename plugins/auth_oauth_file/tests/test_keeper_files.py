"""Whatever lies where the login should be: a sentence, never a crash, and never an overwritten file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanokimi_auth_oauth_file.disk.login import LARGEST, LoginProblem
from nanokimi_core import AccountAway
from testbed.cloud_faults import Refuse
from testbed.kept import Kept

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2)
)
LOGINS = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.one_of(st.just("eyJ.a.b"), VALUES),
        "refresh_token": st.one_of(st.just("eyJ.c.d"), VALUES),
        "expires_at": st.one_of(st.integers(-(10**12), 10**12), VALUES),
        "expires_in": VALUES,
        "more": VALUES,
    },
)


async def look(kept: Kept) -> str:
    """Ask for the login and for another one, of a server that gives none; give what was said."""
    keeper, said = kept.keeper(patience=0.1), []
    calls: tuple[Callable[[], Any], ...] = (keeper.fresh, lambda: keeper.renew(None))
    for call in calls:
        try:
            await call()
        except (LoginProblem, AccountAway) as error:
            said.append(str(error))
    return "\n".join(said)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | LOGINS.map(lambda login: json.dumps(login).encode()), cut=st.floats(0, 1))
def test_any_content_is_left_as_it_is_where_there_is_no_new_login(kept: Kept, content: bytes, cut: float) -> None:
    kept.cloud.oauth.always(Refuse(503, ""))
    kept.log_in(900)
    content = content[: int(len(content) * cut) or len(content)]
    kept.file.write_bytes(content)
    anyio.run(look, kept)
    assert kept.file.read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "directory", "pipe", "huge", "empty", "link to nothing"])
def test_what_is_no_file_is_said_and_left_alone(kept: Kept, tmp_path: Path, kind: str) -> None:
    kept.log_in(-5)
    good = tmp_path / "elsewhere.json"
    kept.file.rename(good)
    before = good.read_bytes()
    if kind == "link":
        kept.file.symlink_to(good)
    elif kind == "link to nothing":
        kept.file.symlink_to(tmp_path / "nothing")
    elif kind == "directory":
        kept.file.mkdir()
    elif kind == "pipe":
        os.mkfifo(kept.file)
    else:
        kept.file.write_bytes(b" " * (LARGEST + 1 if kind == "huge" else 0))
    said = anyio.run(look, kept)
    assert str(kept.file) in said
    assert good.read_bytes() == before
    assert kept.cloud.oauth.token_requests == 0
    assert [file.name for file in kept.credentials.iterdir() if file.name.startswith(".")] == []
    good.unlink()


def test_a_good_login_is_replaced_only_by_a_good_one(kept: Kept) -> None:
    """The same look, with a server that gives one: so the look can tell."""
    before = kept.log_in(-5)
    assert anyio.run(look, kept) == ""
    assert kept.read() != before
    assert kept.spendable
