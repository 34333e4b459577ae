#!/bin/sh
# Says so when the agent's config is missing, then becomes the agent. It touches no token.
if [ ! -r "$NANOKIMI_AGENT_CONFIG" ]; then
    echo "nanokimi: the agent's config $NANOKIMI_AGENT_CONFIG is missing or unreadable for user $(id -u)" >&2
fi
# Node keeps a compile cache for each user number apart; the one baked into the image serves them all.
baked=/opt/nanokimi/compile-cache
if [ -d "$baked" ] && cache=$(mktemp -d /tmp/node-cache.XXXXXX 2>/dev/null); then
    for part in "$baked"/*-0; do
        name=${part##*/}
        ln -s "$part" "$cache/${name%-0}-$(id -u)"
    done
    export NODE_COMPILE_CACHE="$cache"
fi
exec "$@"
