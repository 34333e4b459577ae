"""The keys: where they are found, and whether they can be the account's."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from nanokimi_auth_apikey.endpoints import Account, account_at
from nanokimi_auth_apikey.settings import KeySource, LiteralKey, Settings

DEFAULT_VARIABLE = "MOONSHOT_API_KEY"
STORED_NAME = "key"
_LONGEST = 4096
_KIMI_CODE_PREFIX = "sk-kimi-"
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ANY_KEY = re.compile(r"sk-[A-Za-z0-9_-]{8,}")


class KeyProblem(Exception):
    """There is no key, or none that can be used; never holds more of it than its last four characters."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True)
class Key:
    """A key, and where it was found in words for a person."""

    secret: SecretStr
    source: str

    @property
    def tail(self) -> str:
        """The last four characters."""
        return tail(self.secret.get_secret_value())


def tail(key: str) -> str:
    """Name a key by its last four characters; of a short one nothing is shown."""
    return f"…{key[-4:]}" if len(key) >= 16 else "…"


def without_keys(text: str, key: str = "") -> str:
    """Take a key, and whatever else looks like a key or a token, out of a text of the server's."""
    if key:
        text = text.replace(key, tail(key))
    text = _TOKEN.sub("…", _ANY_KEY.sub(lambda found: tail(found[0]), text))
    return " ".join(text.split())[:300]


def for_instance(remedy: str, name: str) -> str:
    """Let a command name the plugin's instance where it isn't the one of the plugin's own name."""
    command = "nanokimi auth set-key"
    return remedy if name == "apikey" else remedy.replace(command, f"{command} --plugin {name}")


@dataclass(frozen=True)
class Found:
    """What was found where the settings say.

    Attributes:
        keys: Those that fit the account, in the settings' order, each once.
        problems: Of the sources that are left out.
    """

    keys: tuple[Key, ...]
    problems: tuple[KeyProblem, ...] = ()

    def required(self) -> tuple[Key, ...]:
        """Give the keys.

        Raises:
            KeyProblem: There is none.
        """
        if self.keys:
            return self.keys
        if len(self.problems) == 1:
            raise self.problems[0]
        remedies = dict.fromkeys(problem.remedy for problem in self.problems)
        raise KeyProblem("; ".join(problem.cause for problem in self.problems), "; ".join(remedies))

    def name(self, key: Key) -> str:
        """Name a key by its last four characters, and where that doesn't tell it from the others, by its source."""
        alike = sum(key.tail == other.tail for other in self.keys) > 1
        return f"{key.tail} from {key.source}" if alike else key.tail


def find_keys(settings: Settings, folder: Path, environ: Mapping[str, str] | None = None) -> Found:
    """Find the keys and check that they fit the account; a source that gives none is left out.

    Args:
        settings: Say where to look.
        folder: The instance's own, where ``nanokimi auth set-key`` stores.
        environ: In place of the process's environment.
    """
    keys: list[Key] = []
    problems: list[KeyProblem] = []
    for named in settings.keys or (settings.key,):
        try:
            key = _find(named, settings, folder, os.environ if environ is None else environ)
        except KeyProblem as problem:
            problems.append(problem)
            continue
        twin = next((other for other in keys if other.secret == key.secret), None)
        if twin is None:
            keys.append(key)
        else:
            cause = f"the API key {key.tail} from {key.source} is that from {twin.source} once more"
            problems.append(KeyProblem(cause, "take one of the two out of keys"))
    return Found(tuple(keys), tuple(problems))


def _find(named: KeySource | None, settings: Settings, folder: Path, environ: Mapping[str, str]) -> Key:
    text, source = _look(named, folder, environ)
    key = text[:-1].removesuffix("\r") if text.endswith("\n") else text
    check_form(key, source)
    check_fit(key, settings, source)
    return Key(SecretStr(key), source)


def place(named: KeySource) -> str:
    """Say where a key is that the settings name."""
    if isinstance(named, LiteralKey):
        return "nanokimi.toml"
    return f"environment variable {named.env}" if named.env is not None else f"file {named.file}"


def _look(named: KeySource | None, folder: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    if isinstance(named, LiteralKey):
        return named.text.get_secret_value(), place(named)
    if named is not None and named.file is not None:
        return read_key_file(named.file), place(named)
    variable = DEFAULT_VARIABLE if named is None or named.env is None else named.env
    if environ.get(variable):
        return environ[variable], f"environment variable {variable}"
    if named is not None:
        raise KeyProblem(f"environment variable {variable} is not set", "set it before nanokimi starts")
    stored = folder / STORED_NAME
    if not os.path.lexists(stored):
        raise KeyProblem("there is no API key", f"store one with: nanokimi auth set-key (or set {DEFAULT_VARIABLE})")
    return read_key_file(stored), f"file {stored}"


def read_key_file(path: Path) -> str:
    """Read a key file. It may be a link, as in mounted secrets; the mode that counts is the target's.

    Raises:
        KeyProblem: It is missing, unreadable, no file, too large, or readable by others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise KeyProblem(f"key file {path} can't be read: {error.strerror}", "name a file that holds the key") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyProblem(f"key file {path} is not a regular file", "name a file that holds the key")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyProblem(f"key file {path} can be read by others (mode {mode:04o})", f"run: chmod 600 {path}")
        data = os.read(descriptor, _LONGEST + 1)
    finally:
        os.close(descriptor)
    if len(data) > _LONGEST:
        raise KeyProblem(f"key file {path} is too large for a key", "write nothing but the key into it")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


def check_form(key: str, source: str) -> None:
    """Refuse what can't be a key of any account.

    Raises:
        KeyProblem: Says which of the usual slips it is.
    """
    problem = _slip(key)
    if problem is not None:
        raise KeyProblem(f"the API key from {source} {problem}", "give the key alone, on one line")


def _slip(key: str) -> str | None:
    if not key.strip():
        return "is empty"
    if len(key) > _LONGEST:
        return "is too long"
    if "\n" in key or "\r" in key:
        return "has more than one line"
    if key.lower().startswith("bearer "):
        return 'begins with "Bearer"'
    if any(character.isspace() for character in key):
        return "has white space in or around it"
    if key[0] in "\"'":
        return "stands in quotation marks"
    if not (key.isascii() and key.isprintable()):
        return "has characters that no key has"
    return None


def check_fit(key: str, settings: Settings, source: str) -> None:
    """Refuse a key that belongs to another kind of account.

    Raises:
        KeyProblem: Says which kind it is and what to set.
    """
    misfit = _misfit(key, settings.account, settings.endpoint)
    if misfit is not None:
        what, remedy = misfit
        raise KeyProblem(f"the API key {tail(key)} from {source} {what}", remedy)


def _misfit(key: str, account: Account, endpoint: str) -> tuple[str, str] | None:
    if _TOKEN.fullmatch(key):
        return (
            "is an OAuth access token, which is not an API key: it dies within the hour",
            'set auth = "oauth_file", or make an API key',
        )
    if account == "platform" and key.startswith(_KIMI_CODE_PREFIX):
        return "is a Kimi Code key, and the platform doesn't know those", 'set account = "kimi-code" in its table'
    if account == "kimi-code" and not key.startswith(_KIMI_CODE_PREFIX):
        return (
            f"is no Kimi Code key (those begin with {_KIMI_CODE_PREFIX})",
            'set account = "platform" in its table, or make a key in the Kimi Code console',
        )
    if account_at(endpoint) == "platform" and not key.startswith("sk-"):
        return "is no key of Moonshot's platform (those begin with sk-)", "copy the whole key from the console"
    return None
