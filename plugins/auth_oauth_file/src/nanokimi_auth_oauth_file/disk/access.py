"""Whether the container's user can use the login's files, and what mends it."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanokimi_auth_oauth_file.disk.login import LoginProblem, how_to_log_in
from nanokimi_auth_oauth_file.disk.places import Place

READ, WRITE, ENTER = 4, 2, 1
_ACL = "system.posix_acl_access"
_OWNER, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 2**32 - 1
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "use a directory that can be written",
    errno.ENOTSUP: "keep it on a file system that has ACLs",
}
_SUBUID = Path("/etc/subuid")


@dataclass(frozen=True)
class Entry:
    """A POSIX ACL's entry that names a user or a group, or is about the file's group or the mask."""

    tag: int
    permissions: int
    id: int


@dataclass(frozen=True)
class Rights:
    """Who may do what with a file."""

    owner: int
    group: int
    mode: int
    acl: tuple[Entry, ...] = ()

    def allow(self, user: tuple[int, int], wanted: int) -> bool:
        """Whether a user with this uid, this gid and no other group may do all that is wanted, by acl(5).

        Linux doesn't look at an ACL whose mask is empty: who is named in it counts as one of the others then.
        """
        uid, gid = user
        if uid == 0:
            return True
        if uid == self.owner:
            return _has(self.mode >> 6, wanted)
        acl = self.acl if self.mode & 0o070 else ()
        mask = next((entry.permissions for entry in acl if entry.tag == _MASK), 7)
        for entry in acl:
            if entry.tag == _USER and entry.id == uid:
                return _has(entry.permissions & mask, wanted)
        groups = list(self._of_groups(acl, gid, mask))
        return any(_has(each, wanted) for each in groups) if groups else _has(self.mode, wanted)

    def _of_groups(self, acl: Sequence[Entry], gid: int, mask: int) -> Iterable[int]:
        own = next((entry.permissions & mask for entry in acl if entry.tag == _GROUP_OBJ), self.mode >> 3)
        if gid == self.group:
            yield own
        yield from (entry.permissions & mask for entry in acl if entry.tag == _GROUP and entry.id == gid)


def rights(path: Path) -> Rights:
    """Read who may do what with a file; a link isn't followed."""
    status = path.lstat()
    return Rights(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), _acl(path))


def _acl(path: Path) -> tuple[Entry, ...]:
    if not hasattr(os, "getxattr"):
        return ()
    try:
        data = os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError:
        return ()
    return parse_acl(data)


def parse_acl(data: bytes) -> tuple[Entry, ...]:
    """Read the kernel's form of an ACL: a version, then entries of tag, permissions and id."""
    body = data[4 : 4 + (len(data) - 4) // 8 * 8] if len(data) > 4 else b""
    return tuple(Entry(*fields) for fields in struct.iter_unpack("<HHI", body))


def pack_acl(entries: Iterable[Entry]) -> bytes:
    """Write an ACL in the kernel's form."""
    fields = (struct.pack("<HHI", entry.tag, entry.permissions, entry.id) for entry in entries)
    return struct.pack("<I", 2) + b"".join(fields)


def open_to(path: Path, user: tuple[int, int]) -> None:
    """Let one user read a file of NanoKimi's, or look into a directory of its own, and nobody else.

    Root gives it away. Any other user stays its owner, and lets another one in by an ACL (rootless Docker's sub-uid).

    Raises:
        OSError: It can't be done.
    """
    mine, theirs = (READ | WRITE | ENTER, READ | ENTER) if path.is_dir() else (READ | WRITE, READ)
    now, me = rights(path), os.geteuid()
    if me != 0 and user[0] not in (me, 0):
        entries = ((_OWNER, mine), (_USER, theirs), (_GROUP_OBJ, 0), (_MASK, theirs), (_OTHER, 0))
        wanted = pack_acl(Entry(tag, bits, user[0] if tag == _USER else _NOBODY) for tag, bits in entries)
        if now.acl != parse_acl(wanted):
            os.setxattr(path, _ACL, wanted, follow_symlinks=False)
        return
    if me == 0 and (now.owner, now.group) != user:
        os.chown(path, *user, follow_symlinks=False)
    if now.mode != mine << 6:
        path.chmod(mine << 6)


def cannot(what: str, error: OSError) -> LoginProblem:
    """Say that something can't be done to the login's files, and what mends it."""
    remedy = _REMEDIES.get(error.errno or 0, "check the directory's owner and mode")
    return LoginProblem("unreadable", f"NanoKimi can't {what}: {error.strerror}", remedy)


def _has(permissions: int, wanted: int) -> bool:
    return permissions & wanted == wanted


def needed(place: Place, name: str, *, locks: bool) -> list[tuple[Path, int]]:
    """List what an agent uses of a login, and how."""
    files = [
        (place.credentials, READ | WRITE | ENTER),
        (place.file(name), READ),
        (place.credentials / f"{name}.lock", READ | WRITE),
    ]
    if locks:
        files += [
            (place.locks, READ | WRITE | ENTER),
            (place.locks / name, WRITE),
            (place.locks / f"{name}.lock", READ | WRITE | ENTER),
        ]
    return files


def ensure(place: Place, name: str, user: tuple[int, int], *, locks: bool) -> None:
    """See to it that the container's user can use the login: root gives it away, others can only look.

    Raises:
        LoginProblem: It can't; the remedy is the command that mends it.
    """
    if os.geteuid() == 0:
        for path, _ in needed(place, name, locks=locks):
            give(path, user, own=place.own)
    check(place, name, user, locks=locks)


def settle(place: Place, name: str) -> None:
    """See to it that a login's files, and the place of its locks, are one user's: whose its directory is.

    The agent's own refresh runs as that user, without root's rights. Only to be called where no refresh is under way.

    Raises:
        LoginProblem: They can't be, or nothing can be saved there.
        OSError: There is no room for the locks.
    """
    status = place.credentials.stat()
    place.locks.mkdir(mode=0o700, exist_ok=True)
    user = (status.st_uid, status.st_gid) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    ensure(place, name, user, locks=True)


def check(place: Place, name: str, user: tuple[int, int], *, locks: bool) -> None:
    """Look whether the container's user can use the login.

    Raises:
        LoginProblem: It can't. As root only what no ownership can mend counts.
    """
    if os.statvfs(place.credentials).f_flag & os.ST_RDONLY:
        cause = f"{place.credentials} is read-only: a refreshed token couldn't be saved, and the login would be lost"
        raise LoginProblem("unreadable", cause, "use a directory that can be written")
    if os.geteuid() == 0:
        return
    wanted = needed(place, name, locks=locks)
    refused = [path for path, how in wanted if os.path.lexists(path) and not rights(path).allow(user, how)]
    if refused:
        raise unusable(refused[0], user, [place.credentials, *([place.locks] if locks else [])])


def give(path: Path, user: tuple[int, int], *, own: bool) -> None:
    """Give a file to the container's user, without following a link that an agent may have put there.

    Raises:
        LoginProblem: It belongs to a third user, or can't be given away.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return
    except OSError as error:
        said = "is a link" if error.errno == errno.ELOOP else f"can't be opened: {error.strerror}"
        raise LoginProblem("broken", f"{path} {said}", how_to_log_in()) from None
    try:
        status = os.fstat(descriptor)
        if (status.st_uid, status.st_gid) == user:
            return
        if not own and status.st_uid not in (0, user[0]):
            raise _somebody_elses(path, status.st_uid, user)
        os.fchown(descriptor, *user)
    except OSError as error:
        cause = f"{path} can't be given to the container's user {user[0]}: {error.strerror}"
        raise LoginProblem("unreadable", cause, "use a directory on a local disk") from None
    finally:
        os.close(descriptor)


def unusable(path: Path, user: tuple[int, int], folders: Sequence[Path]) -> LoginProblem:
    """Say that a user can't use a file, and the command that mends it."""
    me = os.geteuid()
    owner = path.lstat().st_uid
    who = f"the container's user {user[0]}"
    if user[0] != me and is_subordinate(user[0], me):
        who += " (which rootless Docker takes from your sub-uids)"
    cause = f"{who} can't use {path}, which belongs to uid {owner}"
    return LoginProblem("unreadable", cause, f"run: {mending(user, folders, me)}")


def mending(user: tuple[int, int], folders: Sequence[Path], me: int) -> str:
    """Write the command that lets a user use the folders.

    Where it is NanoKimi's own user, the folders become its own. Where it is another (rootless Docker's sub-uid), an
    ACL lets it in, for what will be written there as well, and the owner stays.
    """
    names = shlex.join(str(folder) for folder in folders)
    if user[0] == me:
        return f"sudo chown -R {user[0]}:{user[1]} {names}"
    mine = all(not folder.exists() or folder.lstat().st_uid == me for folder in folders)
    acl = f"u:{user[0]}:rwX,d:u:{user[0]}:rwX,u:{me}:rwX,d:u:{me}:rwX"
    return f"{'' if mine else 'sudo '}setfacl -R -m {acl} {names}"


def is_subordinate(uid: int, me: int, subuid: Path = _SUBUID) -> bool:
    """Whether a uid is one of those that rootless Docker may use on behalf of a user."""
    try:
        lines = subuid.read_text("utf-8", "replace").splitlines()[:10_000]
    except OSError:
        return False
    ranges = (line.split(":") for line in lines)
    mine = (each for each in ranges if len(each) == 3 and each[0] in _names_of(me))
    return any(each[1].isdecimal() and each[2].isdecimal() and 0 <= uid - int(each[1]) < int(each[2]) for each in mine)


def _names_of(uid: int) -> set[str]:
    import pwd  # not on every system that can import this package

    try:
        return {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        return {str(uid)}


def _somebody_elses(path: Path, owner: int, user: tuple[int, int]) -> LoginProblem:
    cause = f"{path} belongs to uid {owner}, and the container's user is {user[0]}"
    command = f"chown -R {user[0]}:{user[1]} {shlex.quote(str(path.parent))}"
    return LoginProblem("unreadable", cause, f"run: {command} (or take path out of the toml and import a login)")
