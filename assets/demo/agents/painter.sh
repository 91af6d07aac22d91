#!/bin/sh
# Prints what output panes find hard, and keeps a copy of it.
set -eu
. ./agents/pace.sh

paint() {
    # shellcheck disable=SC2059
    printf "$@" | tee -a painted.out
}

rounds=1
[ "${DEMO_PACE:-}" = brief ] || rounds=60
n=1
while [ "$n" -le "$rounds" ]; do
    paint '\033[1mround %d\033[0m\n' "$n"
    for colour in 31 32 33 34 35 36; do
        paint '\033[%dm%s\033[0m ' "$colour" "colour $colour"
    done
    paint '\n\033[38;5;208m256 colours\033[0m \033[38;2;120;200;255mand all of them\033[0m\n'
    paint '港の朝は静かだ。 항구 · 港口 · Ναύσταθμος · мол · é (e and an accent: e\314\201)\n'
    paint 'a tab\there, \033[4;9mstruck and underlined\033[0m, a bell\007, bytes that are no text: \377\376\n'
    for part in 25 50 75 100; do
        paint '\rpainted %d %%' "$part"
        pause 1
    done
    paint '\n'
    printf '\033[33mthe paint of round %d is still wet\033[0m\n' "$n" | tee -a painted.err >&2
    n=$((n + 1))
done
