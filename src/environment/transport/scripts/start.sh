# Starts a command once. Arguments: lease directory, name of the run, directory, tag, length of the input,
# "whole" or "open" when more of it comes later, the command. Standard input: one line with the variables as shell text, then the command's input.
# $launcher holds the text of the launcher.
mask=$(umask)
umask 077
dir=$1 name=$2 cwd=$3 tag=$4 length=$5 mode=$6
shift 6
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
    set -- sh -c "$launcher" wharf-launcher "$stage" "$run" "$cwd" "$mask" "$tag" "$mode" "$setsid" "$@"
    # What is started behind "&" ignores SIGINT, and so would the command; not every setsid can fork by itself.
    # What it says before the command is prepared is why it could not be.
    why=$(
        if "$setsid" --help 2>&1 | grep -q -e --fork; then
            printf '%s\n' "$vars" | "$setsid" --fork "$@" 2>&1 >/dev/null
        else
            printf '%s\n' "$vars" | "$setsid" "$@" 2>&1 >/dev/null &
        fi
    )
    if [ -n "$why" ] && [ ! -d "$run" ]; then
        printf '%s\n' "$why" >&2
        exit 12
    fi
fi
vars=
looks=0
until [ -f "$run/pid" ] || [ -f "$run/exit" ]; do
    looks=$((looks + 1))
    if [ "$looks" -gt 300 ]; then
        exit 21
    fi
    nap 0.05
done
printf 'started\n'
