#!/bin/sh
# Prints many numbered lines, and keeps a hash of what it printed.
set -eu
. ./agents/pace.sh

lines=60000
bytes=1048576
rm -f flood.pipe
mkfifo flood.pipe
sha256sum <flood.pipe >flood.sha256 &
{
    n=0
    while [ "$n" -lt "$DEMO_FLOOD_MIB" ]; do
        # seq ends by SIGPIPE once head has enough; that is how it is meant to end.
        seq -f "mebibyte $n, line %.0f" "$lines" 2>/dev/null | head -c "$bytes"
        pause 3
        n=$((n + 1))
    done
} | tee flood.pipe
wait
rm -f flood.pipe
