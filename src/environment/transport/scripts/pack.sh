# Sends a plain directory back as an archive. Arguments: directory of the lease, workspace.
find_lease "$1" || exit $?
cd "$found/work/$2" 2>/dev/null || { echo "the workspace is not there any more: $found/work/$2" >&2; exit 10; }
for lost in "$found"/runs/*/lost; do
    [ ! -f "$lost" ] || printf 'lost %s\n' "${lost%/lost}"
done
printf 'pack\n'
tar -cf - . || exit 13
