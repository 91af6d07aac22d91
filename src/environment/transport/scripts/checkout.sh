# Takes objects and checks a workspace out. Standard input: a pack, unless it is said that none comes. Arguments:
# directory of the lease, cache, workspace, mark of this realisation, "pack" or "none", state that was sent, head or
# "-", branch or "-", base or "-", object format, name and address for commits, commits whose parents are missing.
find_lease "$1" || exit $?
base=${found%/leases/*}
cache=$base/cache/$2.git work=$found/work/$3 name=$3 mark=$4 pack=$5 sent=$6 head=$7 branch=$8 from=$9
shift 9
format=$1 user=$2 mail=$3 shallow=$4
# What was made for this mark already may have been worked on since: it stays as it is, with what was sent first.
r_mark= r_sent=
{ read -r r_mark r_sent <"$work/.git/wharf-realised"; } 2>/dev/null
if [ "$r_mark" = "$mark" ] && [ -n "$r_sent" ]; then
    printf 'work %s\nsent %s\nagain\n' "$work" "$r_sent"
    exit 0
fi
if [ -n "$shallow" ]; then
    printf '%s\n' $shallow | cat - "$cache/shallow" 2>/dev/null | sort -u >"$cache/shallow.new-$$"
    mv -f "$cache/shallow.new-$$" "$cache/shallow" || exit 13
fi
if [ "$pack" = pack ]; then
    g --git-dir="$cache" index-pack --stdin --fix-thin >/dev/null || exit 13
fi
g --git-dir="$cache" cat-file -e "$sent^{commit}" || { echo 'what was sent did not arrive' >&2; exit 16; }
g --git-dir="$cache" update-ref "refs/wharf/${found##*/}/$name" "$sent" || exit 13
if [ ! -e "$work/.git/HEAD" ]; then
    rm -rf "$work/.git"
    mkdir -p "$work" || exit 13
    if [ "$format" = sha1 ]; then
        g init -q "$work" || exit 13
    else
        g init -q --object-format="$format" "$work" || exit 13
    fi
fi
cd "$work" || exit 13
rm -f .git/index.lock .git/HEAD.lock
mkdir -p .git/objects/info
printf '%s/objects\n' "$cache" | cat >.git/objects/info/alternates || exit 13
[ ! -f "$cache/shallow" ] || cp "$cache/shallow" .git/shallow || exit 13
g config core.autocrlf false && g config core.fileMode true && g config core.symlinks true && g config gc.auto 0 || exit 13
[ -z "$user" ] || g config user.name "$user"
[ -z "$mail" ] || g config user.email "$mail"
# What an earlier run left here is kept under a name.
if [ -f .git/wharf-realised ]; then
    snapshot - && g update-ref "refs/wharf/before/$mark" "$snap" || exit 13
fi
rm -f .git/wharf-realised
g update-ref refs/wharf/sent "$sent" || exit 13
[ "$from" = - ] || g update-ref refs/wharf/base "$from" 2>/dev/null
g checkout -q -f --detach "$sent" >/dev/null && g clean -q -f -d || exit 13
if [ "$head" = - ]; then
    g symbolic-ref HEAD "refs/heads/$branch" && g update-ref -d "refs/heads/$branch" && g read-tree --empty || exit 13
else
    if [ "$branch" = - ]; then
        g update-ref --no-deref HEAD "$head" || exit 13
    else
        g update-ref "refs/heads/$branch" "$head" && g symbolic-ref HEAD "refs/heads/$branch" || exit 13
    fi
    g read-tree "$head" || exit 13
    g update-index -q --refresh >/dev/null
fi
printf '%s %s\n' "$mark" "$sent" | cat >.git/wharf-realised || exit 13
printf 'work %s\n' "$work"
