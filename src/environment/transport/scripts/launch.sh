# Keeps one command until its end. Runs in a session of its own, apart from every connection.
# Arguments: staging directory, run directory, directory of the command, its umask, its tag, "whole"
# or "open" input, this script's setsid, the command. The first line of standard input holds the variables, as shell text.
trap '' HUP
umask 077
stage=$1 run=$2 cwd=$3 mask=$4 tag=$5 mode=$6 setsid=$7
shift 7
IFS= read -r vars
# Whoever makes this directory starts the command, and nobody else ever does.
if ! mkdir "$run"; then
    rm -rf "$stage"
    exit 0
fi
exec </dev/null >/dev/null
boot=$(boot_of)
# Whatever is to be said later is written over what has room already: a full disk takes none of it.
pad() { printf '%60s\n' '' | cat >"$run/$1"; }
over() {
    printf '%s\n' "$2" 1<>"$run/$1.new"
    mv -f "$run/$1.new" "$run/$1"
}
if ! {
    printf '%s\n' "$tag" | cat >"$run/tag" && pad exit.new && pad pid.new && pad launcher.new && pad holder.new &&
        pad child && pad status && mv "$stage/in" "$run/in" && : >"$run/out" && : >"$run/err" &&
        mkfifo "$run/o" "$run/e" "$run/i"
}; then
    rm -rf "$run" "$stage"
    exit 1
fi
# Whoever started this waits until here.
exec 2>/dev/null
rm -rf "$stage"
holder=$$
keep() {
    # What cannot be written is noted; the command then finds its output closed.
    cat <"$1" >>"$2" &
    cat=$!
    trap 'kill "$cat"; exit' TERM
    wait "$cat" || : >"$run/lost"
}

# The number and start of the process that runs this, and the boot, into a file.
name_me() {
    read -r n_pid n_rest </proc/self/stat
    began_of "$n_pid" && over "$1" "$n_pid $began $boot"
}

# Whether a process is neither gone nor dead.
is_there() {
    fields_of "$1" || return 1
    case $fields in Z* | X*) return 1 ;; esac
}

# Gives the command its input as it comes.
feed() {
    exec 3>"$run/i"
    f_at=0
    f_looks=0
    while :; do
        f_over=
        [ -f "$run/in.end" ] && f_over=1
        f_size=$(wc -c <"$run/in") || return
        if [ "$f_size" -gt "$f_at" ]; then
            tail -c "+$((f_at + 1))" "$run/in" | head -c $((f_size - f_at)) >&3 || return
            f_at=$f_size
            f_looks=0
        elif [ -n "$f_over" ]; then
            return
        else
            f_looks=$((f_looks + 1))
            if [ "$f_looks" -lt 20 ]; then nap 0.05; else nap 0.3; fi
        fi
    done
}

# Sees the end of the command and of all it left, and records it.
watch() {
    name_me launcher
    looks=0
    child=
    until { read -r child <"$run/child"; } 2>/dev/null && [ -n "$child" ]; do
        looks=$((looks + 1))
        [ "$looks" -lt 1500 ] || break
        nap 0.02
    done
    start=
    if began_of "$child"; then
        start=$began
        over pid "$child $start $boot"
    fi
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
    [ -z "$feeder" ] || kill "$feeder"
    rm -f "$run/in" "$run/in.end" "$run/o" "$run/e" "$run/i"
    kill -s CONT "$holder"
    if [ -n "$raw" ]; then
        if [ $((raw & 127)) -ne 0 ]; then end="signal $((raw & 127))"; else end="code $((raw >> 8))"; fi
    else
        looks=0
        status=
        until { read -r status <"$run/status"; } 2>/dev/null && [ -n "$status" ]; do
            looks=$((looks + 1))
            [ "$looks" -lt 100 ] || break
            nap 0.05
        done
        case $status in
            '') end='none the end of the command could not be seen' ;;
            129 | 1[3-8][0-9] | 19[0-2]) end="signal $((status - 128))" ;;
            *) end="code $status" ;;
        esac
    fi
    know "$run"
    # What closes by itself has a moment for it; what the command left is asked, then ended.
    looks=4
    while [ "$looks" -gt 0 ]; do
        if all=$(live) && [ -z "$all" ]; then break; fi
        nap 0.1
        looks=$((looks - 1))
    done
    ask_all
    end_all 50
    # Whoever holds the output open now is not of this run.
    looks=100
    for keeper in "$out" "$err"; do
        while [ "$looks" -gt 0 ] && is_there "$keeper"; do
            nap 0.05
            looks=$((looks - 1))
        done
    done
    [ "$looks" -gt 0 ] || kill "$out" "$err"
    over exit "$end"
    rm -f "$run/child" "$run/status" "$run/holder"
}

keep "$run/o" "$run/out" &
out=$!
keep "$run/e" "$run/err" &
err=$!
feeder= input=$run/in
if [ "$mode" = open ]; then
    input=$run/i
    feed &
    feeder=$!
fi
name_me holder
watch &
# The command's parent is this shell, which the command stops before it begins: so nobody takes its end away
# before the kernel's own word on it was read. A shell cannot tell a signal from a code above 128. It is started
# in the foreground: what is started behind "&" ignores SIGINT for ever.
: | (
    trap - HUP
    read -r me rest </proc/self/stat
    printf '%s\n' "$me" 1<>"$run/child"
    umask "$mask"
    kill -s STOP "$holder"
    until { read -r fields <"/proc/$holder/stat"; } 2>/dev/null && case ${fields##*) } in T*) true ;; *) false ;; esac do :; done
    cd -- "$cwd" || exit 127
    set -- "$setsid" "$@"
    eval "$(printf %b "$vars")"
    # The host may be the very machine that this was asked from, where others carry the tag of the run as well.
    export WHARF_HOST_TAG="$tag"
    # Told to stop before it could be found by what it carries.
    [ ! -f "$run/stop" ] || kill -s TERM "$me"
    exec "$@"
) <"$input" >"$run/o" 2>"$run/e"
printf '%s\n' $? 1<>"$run/status"
