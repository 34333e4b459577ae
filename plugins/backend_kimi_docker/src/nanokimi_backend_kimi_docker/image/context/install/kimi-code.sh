#!/bin/sh
# Installs kimi-code under /opt/kimi-code and bakes Node's compile cache. The package's own install script looks for
# older agents on the machine, and its optional parts are a terminal and a clipboard: neither is wanted here.
set -eu
version=$1
root=/opt/kimi-code
npm install --prefix "$root" --cache /tmp/npm --ignore-scripts --omit=optional --no-audit --no-fund \
    --no-update-notifier "@moonshot-ai/kimi-code@$version"
mkdir "$root/bin"
ln -s ../node_modules/.bin/kimi "$root/bin/kimi"
rm -rf /tmp/npm "$root/node_modules/@moonshot-ai/kimi-code/dist-web"
KIMI_CODE_HOME=/tmp/warm NODE_COMPILE_CACHE=/opt/nanokimi/compile-cache \
    python3 /opt/nanokimi/install/warm.py "$root/bin/kimi" "$version"
rm -rf /tmp/warm
chmod -R a+rX /opt/nanokimi/compile-cache
