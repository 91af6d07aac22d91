# Starts a command once. Arguments: lease directory, name of the run, directory, tag, length of the input,
# the command. Standard input: one line with the variables as shell text, then the command's input.
# $launcher holds the text of the launcher.
mask=$(umask)
umask 077
dir=$1 name=$2 cwd=$3 tag=$4 length=$5
shift 5
run=$dir/runs/$name
IFS= read -r vars || exit 20
[ -f "$dir/.wharf-lease" ] || { echo "the directory of the lease is not there: $dir" >&2; exit 10; }
setsid=$(command -v setsid) || { echo 'there is no setsid on the host' >&2; exit 14; }
stage=
if [ ! -d "$run" ]; then
    mkdir -p "$dir/runs" || exit 12
    stage=$dir/runs/.new-$name-$$
    rm -rf "$stage"
    mkdir "$stage" && cat >"$stage/in" || { rm -rf "$stage"; exit 12; }
    if [ "$(wc -c <"$stage/in")" -ne "$length" ]; then
        rm -rf "$stage"
        exit 20
    fi
    printf '%s\n' "$vars" | "$setsid" sh -c "$launcher" wharf-launcher \
        "$stage" "$run" "$cwd" "$mask" "$tag" "$setsid" "$@" >/dev/null 2>"$stage/error" &
fi
vars=
looks=0
until [ -f "$run/pid" ] || [ -f "$run/exit" ]; do
    looks=$((looks + 1))
    if [ "$looks" -gt 300 ]; then
        [ -n "$stage" ] && cat "$stage/error" >&2 2>/dev/null
        # It could not even make its directory, and has ended.
        [ -z "$stage" ] || [ -d "$run" ] || [ ! -s "$stage/error" ] || exit 12
        exit 21
    fi
    nap 0.05
done
printf 'started\n'
