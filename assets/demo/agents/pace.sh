# Read by the others: waits when somebody watches, and does not when nobody does.
pause() {
    [ "${DEMO_PACE:-}" = brief ] || sleep "$1"
}
