#!/bin/sh
# Works without a word.
set -eu

n=0
ticks=2
[ "${DEMO_PACE:-}" = brief ] || ticks=300
while [ "$n" -lt "$ticks" ]; do
    sleep 1
    n=$((n + 1))
done
echo "counted to $n in silence" >quiet.txt
