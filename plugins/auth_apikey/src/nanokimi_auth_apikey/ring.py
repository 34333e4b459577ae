"""The keys that there are now, with what is remembered of each. Everything here reads or writes files: in a thread."""

from __future__ import annotations

import hashlib
import json
import time

from pydantic import SecretStr

from nanokimi_auth_apikey.keys import Found, find_keys, without_keys
from nanokimi_auth_apikey.records import Records
from nanokimi_auth_apikey.refusals import Kind, Refusal, is_same, kind_of, refuse
from nanokimi_auth_apikey.settings import Settings
from nanokimi_auth_apikey.standing import Standing, choose, moment
from nanokimi_auth_apikey.usage import Usage
from nanokimi_core import Context, keep_secret

_SLACK = 300.0


class Ring:
    """An instance's keys."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._refusals = Records(context.folder / "refused", Refusal)
        self._usages = Records(context.folder / "usage", Usage)

    def found(self) -> Found:
        """Look for the keys; what is found is in no log from now on."""
        found = find_keys(self._settings, self._context.folder)
        for key in found.keys:
            keep_secret(key.secret.get_secret_value())
        return found

    def standings(self, found: Found) -> list[Standing]:
        """Say how each key stands now.

        Raises:
            KeyProblem: There is none.
        """
        now = time.time()
        marks = [(key, self.mark(key.secret, self._settings.endpoint)) for key in found.required()]
        return [
            Standing(key, found.name(key), mark, self._refusals.read(mark), self._usages.read(mark), now)
            for key, mark in marks
        ]

    def serving(self, standings: list[Standing]) -> Standing:
        """Say which key serves now."""
        return choose(standings, self._settings.order)

    def refused(self, standing: Standing, why: str, found: Found) -> tuple[Kind, bool]:
        """Put a key aside; says why, and whether that is news."""
        said = without_keys(why)
        for key in found.keys:
            said = without_keys(said, key.secret.get_secret_value())
        kind, now = kind_of(said), time.time()
        before = standing.refusal
        is_news = before is None or before.kind != kind or not is_same(before, now)
        self._refusals.write(standing.mark, refuse(before, kind, f"{moment(now)}: {said}", now))
        return kind, is_news

    def learned(self, standing: Standing, usage: Usage, every: float) -> bool:
        """Remember what the server told of a key; says whether one that was aside works again."""
        self._usages.write(standing.mark, usage)
        refusal, now = self._refusals.read(standing.mark), usage.at
        if refusal is None or not refusal.stands(now) or usage.outcome == "untold":
            return False
        used_up = usage.used_up
        is_so = usage.outcome == "refused" if refusal.kind == "rejected" else bool(used_up)
        if is_so:
            resets = [quota.resets_at.timestamp() for quota in used_up if quota.resets_at is not None]
            until = max([now + 2 * every + _SLACK, *resets])
            self._refusals.write(standing.mark, refusal.longer(until, now))
        elif refusal.confirmed and usage.outcome == "known":
            self._refusals.forget(standing.mark)
            return True
        return False

    def mark(self, key: SecretStr, endpoint: str) -> str:
        """Give a key's hash."""
        return digest(self._context.installation, key.get_secret_value(), endpoint)


def digest(salt: str, *parts: str) -> str:
    """Hash under a salt, cut to 64 bits: enough to notice a change, nothing to find a key by."""
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(json.dumps(parts).encode(), key=key, digest_size=8).hexdigest()
