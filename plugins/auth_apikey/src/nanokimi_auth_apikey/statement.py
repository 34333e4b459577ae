"""How the account stands, for the owner."""

from __future__ import annotations

from collections.abc import Sequence

from nanokimi_auth_apikey.keys import Found
from nanokimi_auth_apikey.refusals import Kind
from nanokimi_auth_apikey.settings import Settings
from nanokimi_auth_apikey.standing import Standing, moment
from nanokimi_auth_apikey.usage import said_of
from nanokimi_core import AuthStatus

_OLD = 86_400.0


def status_of(settings: Settings, found: Found, standings: Sequence[Standing], serving: Standing) -> AuthStatus:
    """Say how the account stands, by the key that serves; of several keys each has a line in the details."""
    details = where(settings)
    if len(standings) + len(found.problems) == 1:
        details["source"] = serving.key.source
    for number, standing in enumerate(standings, start=1):
        if "source" not in details:
            details[f"key {number}"] = standing.line(serves=standing is serving)
    for number, problem in enumerate(found.problems, start=1):
        details[f"left out {number}"] = str(problem)
    usage = serving.usage
    quotas = usage.quotas if usage is not None and 0 <= serving.now - usage.at < _OLD else ()
    if usage is not None and quotas:
        details["left"] = f"{said_of(quotas)}, as of {moment(usage.at)}"
    if serving.aside is None:
        return AuthStatus("ok", serving.key.tail, details=details, quotas=quotas)
    details["refused"] = serving.why
    remedy = _remedy(serving.aside, settings)
    return AuthStatus(serving.aside, serving.key.tail, remedy=remedy, details=details, quotas=quotas)


def where(settings: Settings) -> dict[str, str]:
    """Say whose account it is and where."""
    return {"account": settings.account, "base_url": settings.endpoint, "model": settings.model_id}


def _remedy(aside: Kind, settings: Settings) -> str:
    if aside == "out_of_quota":
        if settings.account == "kimi-code":
            return "wait until the quota is renewed, buy extra usage, or take another account"
        return "fill up the balance in the platform's console, or take another account"
    if settings.key is not None or settings.keys is not None:
        remedy = "make a new key and put it where nanokimi.toml says that it is"
    else:
        remedy = "make a new key and store it with: nanokimi auth set-key"
    if settings.base_url is not None:
        return remedy
    other = "ai" if settings.region == "cn" else "cn"
    return f'{remedy} (a key of the other region\'s console needs region = "{other}")'
