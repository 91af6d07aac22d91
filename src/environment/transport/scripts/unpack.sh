# Makes a plain directory of an archive on standard input. Arguments: directory of the lease, workspace, mark.
find_lease "$1" || exit $?
work=$found/work/$2
if [ "$(cat "$work.realised" 2>/dev/null)" = "$3" ] && [ -d "$work" ]; then
    cat >/dev/null
    printf 'work %s\nagain\n' "$work"
    exit 0
fi
mkdir -p "$found/work" && rm -rf "$work.new" && mkdir "$work.new" || exit 13
tar -xf - -C "$work.new" || exit 13
if [ -d "$work" ]; then
    # What an earlier run left here is kept under a name.
    rm -rf "$work.before"
    rm -f "$work.realised"
    mv "$work" "$work.before" || exit 13
fi
mv "$work.new" "$work" && printf '%s\n' "$3" | cat >"$work.realised" || exit 13
printf 'work %s\n' "$work"
