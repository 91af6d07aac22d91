# git without anything of a repository's own that would run or ask. Part of other scripts.
GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true GIT_EDITOR=true GIT_PAGER=cat GIT_OPTIONAL_LOCKS=0
export GIT_TERMINAL_PROMPT GIT_ASKPASS GIT_EDITOR GIT_PAGER GIT_OPTIONAL_LOCKS
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
g() {
    git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 -c maintenance.auto=false \
        -c submodule.recurse=false -c commit.gpgSign=false "$@"
}
# Commits that say the same are the same.
plain_commit() {
    GIT_AUTHOR_NAME=wharf GIT_AUTHOR_EMAIL=wharf@localhost GIT_AUTHOR_DATE='@0 +0000' \
        GIT_COMMITTER_NAME=wharf GIT_COMMITTER_EMAIL=wharf@localhost GIT_COMMITTER_DATE='@0 +0000' \
        g commit-tree "$@" </dev/null
}
# The state of a checkout as a commit, in $snap; its head in $head ("-" when there is none); files that nobody
# here may read, which stay as they were sent, in $unread. $1 = commit that was sent, whose files count although they
# are ignored, or "-"; $2 = the head below it, or "-".
snapshot() {
    index=$(git rev-parse --absolute-git-dir)/wharf-index
    rm -f "$index" "$index.lock" "$index.said"
    [ ! -f "$(git rev-parse --git-path index)" ] || cp "$(git rev-parse --git-path index)" "$index" || return 13
    head=$(git rev-parse -q --verify 'HEAD^{commit}') || head=-
    if [ "$1" != - ]; then
        from=$2
        [ "$from" != - ] || from=$(g hash-object -w -t tree --stdin </dev/null) || return 13
        # By what they were when they were sent: one that is a directory now, or gone, stands in nobody's way, and one
        # that cannot be read undoes nothing. Line ends and NUL change places, since not every awk can do the latter.
        g diff-tree -r -z --no-renames --ignore-submodules=all --diff-filter=AMT "$from" "$1" >"$index.said" || return 13
        tr '\000\n' '\n\000' <"$index.said" | awk '
            what == "" { what = $2 " " $4; next }
            { if (what !~ /^160000/) printf "%s\t%s\n", what, $0; what = "" }' | tr '\000\n' '\n\000' |
            GIT_INDEX_FILE=$index g update-index -z --index-info || return 13
    fi
    unread=
    GIT_INDEX_FILE=$index g add -A --ignore-errors 2>"$index.said"
    code=$?
    if [ "$code" -eq 1 ]; then
        unread=$(sed -n "s/^error: unable to index file '\(.*\)'\$/\1/p" "$index.said")
        # Only what cannot be read is left out; whatever else went wrong may go well the next time.
        [ -n "$unread" ] && printf '%s\n' "$unread" | while IFS= read -r name; do
            [ -d "$name" ] || [ ! -r "$name" ] || exit 1
        done && code=0
    fi
    [ "$code" -eq 0 ] || { cat "$index.said" >&2; return 13; }
    tree=$(GIT_INDEX_FILE=$index g write-tree) || return 13
    rm -f "$index" "$index.said"
    if [ "$head" = - ]; then
        snap=$(plain_commit "$tree" -m 'wharf: working tree') || return 13
    else
        snap=$(plain_commit "$tree" -p "$head" -m 'wharf: working tree') || return 13
    fi
}
