# Stops a run, or sees to it that it never starts. Arguments: lease directory, name of the run, tag, grace in
# tenths of a second, "wait" or "leave". $ender holds the text that goes on when the connection is cut.
umask 077
dir=$1 name=$2 tag=$3 grace=$4
run=$dir/runs/$name
if mkdir "$run" 2>/dev/null; then
    printf '%s\n' "$tag" | cat >"$run/tag"
    : >"$run/out"
    : >"$run/err"
    printf 'signal 15\n' | cat >"$run/exit.new" && mv -f "$run/exit.new" "$run/exit" || exit 12
    printf 'never\n'
    exit 0
fi
[ -d "$run" ] || { echo "the directory of the run cannot be made: $run" >&2; exit 12; }
setsid=$(command -v setsid) || exit 14
forbid "$run"
know "$run"
ask_all || exit 15
"$setsid" sh -c "$ender" wharf-ender "$run" "$grace" </dev/null >/dev/null 2>&1 &
printf 'asked\n'
