# Makes the directory of a lease. Arguments: path of the settings, lease, environment.
resolve "$1"
dir=$path/leases/$2
mkdir -p -- "$path/leases" && cd -P -- "$path/leases" || exit 13
dir=$(pwd -P)/$2
if [ -L "$dir" ] || { [ -e "$dir" ] && [ ! -d "$dir" ]; }; then
    printf '%s is there and is no directory of ours\n' "$dir" >&2
    exit 11
fi
[ -d "$dir" ] || mkdir -- "$dir" || exit 13
chmod 700 "$dir" && mkdir -p "$dir/runs" || exit 13
# By way of a program that says why it cannot write.
printf 'wharf-lease 1\nlease %s\nenvironment %s\n' "$2" "$3" | cat >"$dir/.wharf-lease.new" || exit 13
# Room for a few small files is needed before anything can begin.
why=$(dd if=/dev/zero of="$dir/.room" bs=65536 count=1 2>&1)
code=$?
rm -f "$dir/.room"
[ "$code" -eq 0 ] || { printf '%s\n' "$why" | grep -v '^[0-9]' >&2; exit 13; }
mv -f "$dir/.wharf-lease.new" "$dir/.wharf-lease" || exit 13
printf 'dir %s\nuname %s\nuser %s\nhostname %s\nhome %s\n' \
    "$dir" "$(uname -srm)" "$(id -un 2>/dev/null || id -u)" "$(uname -n)" "$HOME"
