# Sends a plain directory back as an archive. Arguments: directory of the lease, workspace, what the
# directories of its runs begin with.
find_lease "$1" || exit $?
cd "$found/work/$2" 2>/dev/null || { echo "the workspace is not there any more: $found/work/$2" >&2; exit 10; }
for lost in "$found"/runs/"$3".*/lost; do
    [ ! -f "$lost" ] || printf 'lost %s\n' "${lost%/lost}"
done
printf 'pack\n'
tar -cf - . || exit 13
