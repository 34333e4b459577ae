from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanokimi_auth_oauth_file.disk.access import Entry, Rights, check, is_subordinate, mending, parse_acl, rights
from nanokimi_auth_oauth_file.disk.login import LoginProblem
from nanokimi_auth_oauth_file.disk.places import Place

BITS = st.integers(0, 7)
IDS = st.sampled_from([1000, 1001, 1002])


def acl(owner: int, group: int, other: int, mask: int, users: dict[int, int], groups: dict[int, int]) -> bytes:
    """Write an ACL as the kernel takes it: entries sorted by tag and id."""
    entries = [(1, owner, 2**32 - 1), *((2, bits, uid) for uid, bits in sorted(users.items()))]
    entries += [(4, group, 2**32 - 1), *((8, bits, gid) for gid, bits in sorted(groups.items()))]
    entries += [(16, mask, 2**32 - 1), (32, other, 2**32 - 1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.parametrize(
    ("mode", "user", "wanted", "allowed"),
    [
        (0o600, (1000, 1000), 6, True),
        (0o400, (1000, 1000), 6, False),
        (0o060, (1000, 1000), 4, False),
        (0o640, (1001, 1000), 4, True),
        (0o640, (1001, 1000), 6, False),
        (0o604, (1001, 1001), 4, True),
        (0o604, (1001, 1000), 4, False),
        (0o000, (0, 0), 7, True),
    ],
)
def test_a_mode_allows_what_it_says(mode: int, user: tuple[int, int], wanted: int, allowed: bool) -> None:
    assert Rights(1000, 1000, mode).allow(user, wanted) is allowed


def test_an_acl_lets_a_named_user_in_within_its_mask() -> None:
    entries = parse_acl(acl(6, 0, 0, 4, {1001: 6}, {}))
    assert Entry(2, 6, 1001) in entries
    assert Rights(1000, 1000, 0o640, entries).allow((1001, 1001), 4)
    assert not Rights(1000, 1000, 0o640, entries).allow((1001, 1001), 6)
    assert not Rights(1000, 1000, 0o640, entries).allow((1002, 1002), 4)


def test_an_acl_with_an_empty_mask_names_nobody() -> None:
    entries = parse_acl(acl(6, 0, 4, 0, {1001: 6}, {1002: 0}))
    assert Rights(1000, 1000, 0o604, entries).allow((1001, 1001), 4)
    assert Rights(1000, 1000, 0o604, entries).allow((1002, 1002), 4)
    assert not Rights(1000, 1000, 0o604, entries).allow((1001, 1001), 6)


@given(st.binary(max_size=60))
def test_any_bytes_can_be_read_as_an_acl(data: bytes) -> None:
    assert isinstance(parse_acl(data), tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mode=st.integers(0, 0o777),
    with_acl=st.booleans(),
    bits=st.tuples(BITS, BITS),
    users=st.dictionaries(IDS, BITS, max_size=2),
    groups=st.dictionaries(IDS, BITS, max_size=2),
    user=IDS,
    wanted=st.sampled_from([4, 2, 6]),
)
def test_what_is_computed_is_what_the_kernel_does(
    open_folder: Path,
    as_user: Callable[[int], AbstractContextManager[None]],
    mode: int,
    with_acl: bool,
    bits: tuple[int, int],
    users: dict[int, int],
    groups: dict[int, int],
    user: int,
    wanted: int,
) -> None:
    file = open_folder / "file"
    file.unlink(missing_ok=True)
    file.touch()
    os.chown(file, 1000, 1001)
    file.chmod(mode)
    if with_acl:
        try:
            os.setxattr(file, "system.posix_acl_access", acl(mode >> 6, *bits, mode >> 3 & 7, users, groups))
        except OSError as error:
            pytest.skip(f"no ACLs on this file system: {error}")
    computed = rights(file).allow((user, user), wanted)
    with as_user(user):
        real = os.access(file, wanted, effective_ids=True)
    assert computed == real


# ------------------------------------------------------------------- what mends it
def test_a_folder_of_another_user_is_given_to_nanokimis_own() -> None:
    command = mending((1000, 1000), [Path("/srv/my login"), Path("/srv/oauth")], 1000)
    assert command == "sudo chown -R 1000:1000 '/srv/my login' /srv/oauth"


def test_another_user_is_let_in_by_an_acl_without_losing_the_owner(tmp_path: Path) -> None:
    me = os.geteuid()
    command = mending((100_999, 100_999), [tmp_path], me)
    assert command == f"setfacl -R -m u:100999:rwX,d:u:100999:rwX,u:{me}:rwX,d:u:{me}:rwX {tmp_path}"
    assert mending((100_999, 100_999), [Path("/proc")], 12345).startswith("sudo setfacl ")


def test_sub_uids_are_those_that_the_file_gives_to_a_user(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("4242:100000:65536\nnonsense\n7:1:x\nsomebody:200000:10\n")
    assert is_subordinate(100_999, 4242, file)
    assert not is_subordinate(99_999, 4242, file)
    assert not is_subordinate(165_536, 4242, file)
    assert not is_subordinate(200_001, 4242, file)
    assert not is_subordinate(100_999, 4242, tmp_path / "none")


def test_a_read_only_directory_is_refused_because_it_would_cost_the_login() -> None:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    folders = (Path(fields[1]) for fields in mounts if "ro" in fields[3].split(","))
    folder = next(filter(Path.is_dir, folders), None)
    if folder is None:
        pytest.skip("nothing is mounted read-only on this machine")
    place = Place(folder, folder, own=False, agent_home=False)
    with pytest.raises(LoginProblem, match="the login would be lost"):
        check(place, "kimi-code", (1000, 1000), locks=False)
