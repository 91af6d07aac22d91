#!/bin/sh
# Reads a page from the shared service, now and then.
set -eu
. ./agents/pace.sh

echo "the service is at $WHARF_SERVICE_WEB_URL"
visits=1
[ "${DEMO_PACE:-}" = brief ] || visits=24
n=1
while [ "$n" -le "$visits" ]; do
    "$DEMO_WHARF" demo-hand fetch "${WHARF_SERVICE_WEB_URL}?visitor=$WHARF_RUN_NUMBER" >visited.html
    echo "visit $n of $visits: $(wc -c <visited.html) bytes"
    pause 5
    n=$((n + 1))
done
