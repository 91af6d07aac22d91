# Makes ready to take objects. Arguments: directory of the lease, name of the cache, object format.
# Says which commits are here already: lines "have COMMIT".
find_lease "$1" || exit $?
git --version >/dev/null || exit 14
base=${found%/leases/*}
cache=$base/cache/$2.git
if [ ! -f "$cache/HEAD" ]; then
    new=$cache.new-$$
    mkdir -p "$base/cache" && rm -rf "$new" || exit 13
    if [ "$3" = sha1 ]; then
        g init -q --bare "$new" || exit 13
    else
        g init -q --bare --object-format="$3" "$new" || exit 13
    fi
    # Directories of leases borrow these objects: none may ever go by itself.
    g --git-dir="$new" config gc.auto 0 && g --git-dir="$new" config gc.pruneExpire never || exit 13
    mv -- "$new" "$cache" 2>/dev/null || rm -rf "$new"
    # Another one was first: then this one lies inside of it.
    rm -rf "$cache/$2.git.new-$$"
fi
n=0
g --git-dir="$cache" for-each-ref --sort=-refname --format='%(objectname) %(refname)' refs/wharf | while read -r object ref; do
    n=$((n + 1))
    if [ "$n" -le 64 ]; then
        printf 'have %s\n' "$object"
    else
        g --git-dir="$cache" update-ref -d "$ref"
    fi
done
printf 'ready\n'
