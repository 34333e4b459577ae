"""What the core wants of every auth plugin."""

from __future__ import annotations

from nanokimi_auth_oauth_file.rig import OAuthFileRig
from nanokimi_core.testing import AuthSuite


class TestOAuthFile(AuthSuite):
    rig = OAuthFileRig
