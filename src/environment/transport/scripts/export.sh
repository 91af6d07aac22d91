# Sends back what became of a workspace. Arguments: directory of the lease, workspace, state that was sent, head
# then or "-", what the directories of its runs begin with. Lines "name value", then "pack", then a pack.
find_lease "$1" || exit $?
cd "$found/work/$2" 2>/dev/null && [ -e .git/HEAD ] || { echo "the workspace is not there any more: $found/work/$2" >&2; exit 10; }
snapshot "$3" "$4" || exit $?
g update-ref refs/wharf/result "$snap" || exit 13
printf 'head %s\nsnap %s\n' "$head" "$snap"
[ -z "$unread" ] || printf '%s\n' "$unread" | sed 's/^/unread /'
for lost in "$found"/runs/"$5".*/lost; do
    [ ! -f "$lost" ] || printf 'lost %s\n' "${lost%/lost}"
done
branches=$(g for-each-ref --format='%(objectname) %(refname)' refs/heads)
[ -z "$branches" ] || printf '%s\n' "$branches" | sed 's/^/branch /'
if [ "$snap" = "$3" ] && [ -z "$(printf '%s\n' "$branches" | awk -v head="$4" 'NF && $1 != head')" ]; then
    printf 'same\n'
    exit 0
fi
printf 'pack\n'
{
    printf '%s\n^%s\n' "$snap" "$3"
    printf '%s\n' "$branches" | awk 'NF { print $1 }'
} | g pack-objects --revs --thin --stdout -q --delta-base-offset --shallow || exit 13
