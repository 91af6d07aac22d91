# Keeps one command until its end. Runs in a session of its own, apart from every connection.
# Arguments: staging directory, run directory, directory of the command, its umask, its tag, this script's
# setsid, the command. The first line of standard input holds the variables, as shell text.
trap '' HUP
umask 077
stage=$1 run=$2 cwd=$3 mask=$4 tag=$5 setsid=$6
shift 6
IFS= read -r vars
# Whoever makes this directory starts the command, and nobody else ever does.
if ! mkdir "$run"; then
    rm -rf "$stage"
    exit 0
fi
exec </dev/null >/dev/null
boot=$(boot_of)
began_of $$ || exit 1
printf '%s %s %s\n' $$ "$began" "$boot" | cat >"$run/launcher"
printf '%s\n' "$tag" | cat >"$run/tag"
# The end is written over what has room already: a full disk does not take it.
printf '%60s\n' '' | cat >"$run/exit.new"
mv "$stage/in" "$run/in" && : >"$run/out" && : >"$run/err" && mkfifo "$run/o" "$run/e" "$run/go" || {
    printf 'none cannot prepare the run\n' 1<>"$run/exit.new"
    mv -f "$run/exit.new" "$run/exit"
    exit 1
}
exec 2>/dev/null
rm -rf "$stage"
keep() {
    # What cannot be written is noted; the command then finds its output closed.
    cat <"$1" >>"$2" || : >"$run/lost"
}
keep "$run/o" "$run/out" &
out=$!
keep "$run/e" "$run/err" &
err=$!
(
    # The parent of the command. It uses nothing that waits for a child until it is told to, so that the
    # kernel's own word on the end can be read first: a shell cannot tell a signal from a code above 128.
    exec 5<>"$run/go"
    (
        exec 5>&-
        trap - HUP
        umask "$mask"
        cd -- "$cwd" || exit 127
        set -- "$setsid" "$@"
        eval "$(printf %b "$vars")"
        exec "$@"
    ) <"$run/in" >"$run/o" 2>"$run/e" &
    printf '%s\n' $! >"$run/child"
    # This shell would take the end of its children at once.
    [ -z "${BASH_VERSION-}" ] || exec cat <&5
    read -r told <&5
    wait $!
    printf '%s\n' $? >"$run/status"
) &
vars=
parent=$!
child=
looks=0
until { read -r child <"$run/child"; } 2>/dev/null; do
    looks=$((looks + 1))
    [ "$looks" -lt 600 ] || break
    nap 0.02
done
if began_of "$child"; then
    printf '%s %s %s\n' "$child" "$began" "$boot" | cat >"$run/pid.new"
    mv -f "$run/pid.new" "$run/pid"
fi
start=$began
raw=
looks=0
while fields_of "$child"; do
    set -f
    set -- $fields
    set +f
    [ "${20}" = "$start" ] || break
    case $1 in
        Z | X)
            # Of another user's process the kernel says nothing.
            [ -O "/proc/$child" ] && raw=${50}
            break
            ;;
    esac
    looks=$((looks + 1))
    if [ "$looks" -lt 40 ]; then nap 0.05; elif [ "$looks" -lt 200 ]; then nap 0.2; else nap 0.5; fi
done
rm -f "$run/in" "$run/o" "$run/e"
printf 'go\n' 1<>"$run/go"
[ -z "${BASH_VERSION-}" ] || kill "$parent" 2>/dev/null
wait "$parent"
if [ -n "$raw" ]; then
    if [ $((raw & 127)) -ne 0 ]; then end="signal $((raw & 127))"; else end="code $((raw >> 8))"; fi
else
    status=
    { read -r status <"$run/status"; } 2>/dev/null
    case $status in
        '') end='none the end of the command could not be seen' ;;
        129 | 1[3-8][0-9] | 19[0-2]) end="signal $((status - 128))" ;;
        *) end="code $status" ;;
    esac
fi
know "$run"
# What closes by itself has a moment for it; what the command left is asked, then ended.
left=4
while [ "$left" -gt 0 ] && [ -n "$(live)" ]; do
    nap 0.1
    left=$((left - 1))
done
ask_all
end_all 50
# Whoever holds the output open now is not of this run.
left=50
for keeper in "$out" "$err"; do
    while [ "$left" -gt 0 ] && fields_of "$keeper"; do
        case $fields in Z* | X*) break ;; esac
        nap 0.05
        left=$((left - 1))
    done
done
[ "$left" -gt 0 ] || {
    sids= tags=
    for keeper in "$out" "$err"; do
        pkill -P "$keeper" 2>/dev/null
        kill "$keeper" 2>/dev/null
    done
}
printf '%s\n' "$end" 1<>"$run/exit.new"
mv -f "$run/exit.new" "$run/exit"
rm -f "$run/go" "$run/child" "$run/status"
