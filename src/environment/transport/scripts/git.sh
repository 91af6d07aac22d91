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
# The state of a checkout as a commit, in $snap; its head in $head ("-" when there is none). $1 = commit whose
# added files count although they are ignored, or "-".
snapshot() {
    index=$(git rev-parse --absolute-git-dir)/wharf-index
    rm -f "$index" "$index.lock"
    [ ! -f "$(git rev-parse --git-path index)" ] || cp "$(git rev-parse --git-path index)" "$index" || return 13
    head=$(git rev-parse -q --verify 'HEAD^{commit}') || head=-
    GIT_INDEX_FILE=$index g add -A || return 13
    if [ "$1" != - ] && [ "$head" != - ]; then
        g diff-tree -r -z --name-only --no-renames --diff-filter=A "$2" "$1" |
            GIT_INDEX_FILE=$index g update-index -z --add --remove --stdin 2>/dev/null
    fi
    tree=$(GIT_INDEX_FILE=$index g write-tree) || return 13
    rm -f "$index"
    if [ "$head" = - ]; then
        snap=$(plain_commit "$tree" -m 'wharf: working tree') || return 13
    else
        snap=$(plain_commit "$tree" -p "$head" -m 'wharf: working tree') || return 13
    fi
}
