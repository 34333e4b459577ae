"""What of a changed toml can be used at once, and what needs a restart."""

from __future__ import annotations

from nanokimi_core.config import Settings

_LIVE = {"chats", "limits", "language", "auth"}
_FIXED = ("assistant", "transports", "backend", "owner", "logs")


def merged(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Put the parts of a new toml that can be used at once into the old one.

    Returns:
        The settings to go on with, and a sentence for each thing that needs a restart.
    """
    later = [f"{name} needs a restart" for name in _FIXED if getattr(old, name) != getattr(new, name)]
    auths, plugins = set(new.auths()), dict(old.plugins)
    for name in sorted({*old.plugins, *new.plugins}):
        if old.plugins.get(name) == new.plugins.get(name):
            continue
        if name not in auths:
            later.append(f"[plugins.{name}] needs a restart")
        elif name in new.plugins:
            plugins[name] = new.plugins[name]
        else:
            plugins.pop(name, None)
    chats = dict(new.chats)
    running = set(old.backends())
    for name, table in new.chats.items():
        if table.backend is not None and table.backend not in running:
            later.append(f'[chats."{name}"] backend = "{table.backend}" needs a restart')
            chats.pop(name)
            if name in old.chats:
                chats[name] = old.chats[name]
    update = {name: getattr(new, name) for name in _LIVE} | {"plugins": plugins, "chats": chats}
    # Made anew and not copied: what the old settings have worked out from their tables must not come along.
    return Settings.model_construct(**{**{name: getattr(old, name) for name in Settings.model_fields}, **update}), later


def changed_auths(old: Settings, new: Settings) -> list[str]:
    """Name the accounts that must be made anew: those that are new, and those whose table has changed."""
    known = set(old.auths())
    return [name for name in new.auths() if name not in known or old.plugins.get(name) != new.plugins.get(name)]
