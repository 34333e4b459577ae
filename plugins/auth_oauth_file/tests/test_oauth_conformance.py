"""What the core wants of every auth plugin, for both ways in which containers see a login."""

from __future__ import annotations

from nanokimi_auth_oauth_file.rig import OAuthFileRig, SharedOAuthFileRig
from nanokimi_core.testing import AuthSuite


class TestOAuthFile(AuthSuite):
    rig = OAuthFileRig


class OnAsyncio(SharedOAuthFileRig):
    loops = ("asyncio",)  # the other way is tried on both, and costs its time


class TestSharedOAuthFile(AuthSuite):
    rig = OnAsyncio
