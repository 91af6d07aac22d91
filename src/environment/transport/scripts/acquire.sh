# Makes the directory of a lease. Arguments: path of the settings, lease, environment.
resolve "$1"
dir=$path/leases/$2
mkdir -p -- "$path/leases" && cd -P -- "$path/leases" || exit 13
dir=$(pwd -P)/$2
if [ -L "$dir" ] || { [ -e "$dir" ] && [ ! -d "$dir" ]; }; then
    printf '%s is there and is no directory of ours\n' "$dir" >&2
    exit 11
fi
# It has its name only when it is whole: with its mark.
new=$dir
[ -d "$dir" ] || new=${dir%/*}/.new-$2
fail() {
    [ "$new" = "$dir" ] || rm -rf -- "$new"
    exit 13
}
mkdir -p -- "$new" && chmod 700 "$new" || fail
# By way of a program that says why it cannot write.
printf 'wharf-lease 1\nlease %s\nenvironment %s\n' "$2" "$3" | cat >"$new/.wharf-lease.new" || fail
mkdir -p "$new/runs" || fail
# Room for a few small files is needed before anything can begin.
why=$(dd if=/dev/zero of="$new/.room" bs=65536 count=1 2>&1)
code=$?
rm -f "$new/.room"
[ "$code" -eq 0 ] || { printf '%s\n' "$why" | grep -v '^[0-9]' >&2; fail; }
mv -f "$new/.wharf-lease.new" "$new/.wharf-lease" || fail
if [ "$new" != "$dir" ]; then
    [ -d "$dir" ] || mv -- "$new" "$dir" || [ -d "$dir" ] || fail
    # Another call was first: then this one's lies beside or inside of it.
    rm -rf -- "$new" "$dir/.new-$2"
fi
printf 'dir %s\nuname %s\nuser %s\nhostname %s\nhome %s\n' \
    "$dir" "$(uname -srm)" "$(id -un 2>/dev/null || id -u)" "$(uname -n)" "$HOME"
