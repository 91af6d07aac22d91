# Makes a plain directory of an archive on standard input. Arguments: directory of the lease, workspace, mark of this
# realisation, state that was sent.
find_lease "$1" || exit $?
work=$found/work/$2
r_mark= r_sent=
{ read -r r_mark r_sent <"$work.realised"; } 2>/dev/null
if [ "$r_mark" = "$3" ] && [ -n "$r_sent" ] && [ -d "$work" ]; then
    # It may have been worked on since.
    cat >/dev/null
    printf 'work %s\nsent %s\nagain\n' "$work" "$r_sent"
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
mv "$work.new" "$work" && printf '%s %s\n' "$3" "$4" | cat >"$work.realised" || exit 13
printf 'work %s\n' "$work"
