"""What the core wants of every auth plugin."""

from __future__ import annotations

from nanokimi_auth_apikey.rig import ApiKeyRig, MemberKeyRig
from nanokimi_core.testing import AuthSuite


class TestPlatformKey(AuthSuite):
    rig = ApiKeyRig


class TestMemberKey(AuthSuite):
    rig = MemberKeyRig
