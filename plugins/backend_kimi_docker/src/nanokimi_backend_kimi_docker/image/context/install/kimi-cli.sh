#!/bin/sh
# Installs kimi-cli in a virtual environment of its own under /opt/kimi-cli.
set -eu
version=$1
python3 -m venv /opt/kimi-cli
/opt/kimi-cli/bin/pip install --no-cache-dir --disable-pip-version-check "kimi-cli==$version"
KIMI_SHARE_DIR=/tmp/warm python3 /opt/nanokimi/install/warm.py /opt/kimi-cli/bin/kimi "$version"
rm -rf /tmp/warm
