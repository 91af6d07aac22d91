# Sends what a run has written from two offsets on, and its end when both are sent. Arguments: run directory,
# offset in standard output, offset in standard error.
# Frames: "o N" or "e N", N bytes, a line end, ".N"; "h" = nothing new; "x code N" or "x signal N" = it ended;
# "l words" = it is over and nobody saw how.
run=$1 o=$2 e=$3
idle=0 beat=0 doubt=0
if ! cd "$run" 2>/dev/null; then
    case $(LC_ALL=C ls -d "$run" 2>&1) in
        *'No such file or directory'*)
            leases=${run%/runs/*}
            [ ! -d "${leases%/*}" ] || printf 'l the directory of the run is gone\n'
            ;;
    esac
    # A file system that does not answer, or is not mounted, says nothing about the command.
    exit 0
fi
# Whether one lives that has not said yet who it is.
begins() {
    [ ! -f launcher ] && grep -qsF -f - /proc/[0-9]*/cmdline <<EOF
$run
EOF
}
send() {
    printf '%s %s\n' "$1" "$4" || exit
    tail -c "+$(($3 + 1))" "$2" | head -c "$4"
    printf '\n.%s\n' "$4" || exit
}
while :; do
    # In this order: what was there when it had ended is all there is.
    over=
    [ -f exit ] && over=1
    set -- $(wc -c out err 2>/dev/null)
    if [ "$2 $4" != 'out err' ]; then
        # Not made yet, or it cannot be looked at: then nobody knows whether there is more.
        case $(LC_ALL=C ls out err 2>&1) in
            *'No such file or directory'*) ;;
            *) exit 1 ;;
        esac
        [ -z "$over" ] || { printf 'l its output is not there any more\n'; exit 0; }
        set -- 0 out 0 err
    fi
    moved=
    if [ "$1" -gt "$o" ]; then
        n=$(($1 - o))
        [ "$n" -le 1048576 ] || n=1048576
        send o out "$o" "$n"
        o=$((o + n)) moved=1
    fi
    if [ "$3" -gt "$e" ]; then
        n=$(($3 - e))
        [ "$n" -le 1048576 ] || n=1048576
        send e err "$e" "$n"
        e=$((e + n)) moved=1
    fi
    if [ -n "$moved" ]; then
        idle=0 beat=0
        continue
    fi
    if [ -n "$over" ]; then
        read -r kind what <exit || exit 1
        case $kind in
            code | signal) printf 'x %s %s\n' "$kind" "${what%% *}" ;;
            *) printf 'l %s\n' "$what" ;;
        esac
        exit 0
    fi
    idle=$((idle + 1)) beat=$((beat + 1))
    if [ $((idle % 20)) -eq 0 ]; then
        if lives launcher || begins; then
            doubt=0
        else
            know "$run"
            # Where nobody could look, nothing is known.
            if all=$(live); then
                if [ -n "$all" ] || [ -f exit ]; then doubt=0; else doubt=$((doubt + 1)); fi
            fi
            if [ "$doubt" -ge 2 ]; then
                if [ -f launcher ] && read -r p s boot <launcher && [ "$boot" != "$(boot_of)" ]; then
                    printf 'l the host was started anew\n'
                else
                    printf 'l the launcher on the host was ended\n'
                fi
                exit 0
            fi
        fi
    fi
    if [ "$beat" -ge 8 ]; then
        printf 'h\n' || exit
        beat=0
    fi
    if [ "$idle" -lt 10 ]; then nap 0.05; elif [ "$idle" -lt 40 ]; then nap 0.15; else nap 0.4; fi
done
