"""What the contract wants an auth plugin and its grants to look like."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import SecretStr

from nanokimi_core.contracts.auth import Grant, Mount
from nanokimi_core.testing.conformance.auth.asking import (
    granted,
)
from nanokimi_core.testing.conformance.checks import Check, check, expect
from nanokimi_core.testing.conformance.rigs import AuthRig

_MOST_FILES = 1000


@check("auth")
async def has_its_methods(rig: AuthRig) -> None:
    """The object has grant, rejected and status."""
    async with rig.made() as auth:
        missing = [name for name in ("grant", "rejected", "status") if not callable(getattr(auth, name, None))]
        expect(not missing, f"{type(auth).__name__} has no {', '.join(missing)}")


@check("auth")
async def a_grant_is_whole(rig: AuthRig) -> None:
    """A Grant has the types that it declares, names a provider, a server and a model, and is valid now."""
    await rig.give()
    async with rig.made() as auth:
        wrong = list(_wrong_in(await granted(rig, auth)))
        expect(not wrong, "; ".join(wrong))


def _wrong_in(grant: Grant) -> Iterator[str]:
    given: dict[str, Any] = vars(grant)
    for name in ("provider", "base_url", "model", "fingerprint"):
        if not (isinstance(given[name], str) and given[name].strip()):
            yield f"{name} is {given[name]!r}, not a text"
    if isinstance(grant.base_url, str) and not grant.base_url.startswith(("http://", "https://")):
        yield f"base_url is {grant.base_url!r}, which is no http or https address"
    size = given["context_size"]
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        yield f"context_size is {size!r}, not a number of tokens"
    if not isinstance(given["api_key"], SecretStr | None):
        yield f"api_key is a {type(grant.api_key).__name__}, not a SecretStr"
    if given["oauth_key"] is not None and not isinstance(given["oauth_key"], str):
        yield f"oauth_key is {grant.oauth_key!r}, not a text"
    if not _are(given["mounts"], tuple, Mount):
        yield "mounts is not a tuple of Mount"
    if not _are(given["capabilities"], frozenset, str):
        yield "capabilities is not a frozenset of texts"
    if not _are(given["environment"], tuple, tuple) or any(not _is_a_setting(each) for each in given["environment"]):
        yield "environment is not a tuple of pairs of texts"
    if not isinstance(given["mark"], str):
        yield f"mark is {grant.mark!r}, not a text"
    yield from _wrong_in_the_end(given["expires_at"])


def _are(value: Any, kind: type, each: type) -> bool:
    return isinstance(value, kind) and all(isinstance(one, each) for one in value)  # type: ignore[attr-defined]


def _is_a_setting(pair: Any) -> bool:
    return len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _wrong_in_the_end(end: Any) -> Iterator[str]:
    if end is None:
        return
    if not isinstance(end, datetime) or end.tzinfo is None:
        yield f"expires_at is {end!r}, not a time with a zone"
    elif end <= datetime.now(UTC):
        yield f"expires_at is {end:%Y-%m-%d %H:%M:%S %Z}, which is over"


@check("auth")
async def mounts_can_be_read_by_the_agent(rig: AuthRig) -> None:
    """What a grant mounts are directories that exist, named from the root, and need.user can read what is in them."""
    await rig.give()
    async with rig.made() as auth:
        grant = await granted(rig, auth)
    for mount in grant.mounts:
        expect(mount.source.is_absolute(), f"the mount's source {mount.source} is relative")
        expect(mount.source.is_dir(), f"the mount's source {mount.source} is no directory")
        target: Any = mount.target
        expect(isinstance(target, PurePosixPath), f"the mount's target {target!r} is no PurePosixPath")
        expect(target.is_absolute(), f"the mount's target {target} is relative")
        closed = [path for path in _everything_in(mount.source) if not _can_read(path, rig.need.user)]
        expect(not closed, f"uid {rig.need.user[0]} can't read {closed[:1]}, mode {_mode(closed)}")


def _everything_in(folder: Path) -> list[Path]:
    return [folder, *sorted(folder.rglob("*"))[:_MOST_FILES]]


def _can_read(path: Path, user: tuple[int, int]) -> bool:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or user[0] == 0:
        return True
    wanted = 0o5 if stat.S_ISDIR(status.st_mode) else 0o4
    shift = 6 if status.st_uid == user[0] else 3 if status.st_gid == user[1] else 0
    return (status.st_mode >> shift) & wanted == wanted or _has_acl(path)


def _has_acl(path: Path) -> bool:
    names = os.listxattr(path, follow_symlinks=False) if hasattr(os, "listxattr") else []
    return "system.posix_acl_access" in names


def _mode(paths: list[Path]) -> str:
    return f"{stat.S_IMODE(paths[0].lstat().st_mode):04o}" if paths else ""


FORM_CHECKS: tuple[Check, ...] = (has_its_methods, a_grant_is_whole, mounts_can_be_read_by_the_agent)
