# Processes of runs: who they are, and ending them. Part of other scripts.

nap() { sleep "$1" 2>/dev/null || sleep 1; }

# The fields of a process behind its name, in $fields; fails when there is none.
fields_of() {
    fields=
    { IFS= read -r fields <"/proc/$1/stat"; } 2>/dev/null
    [ -n "$fields" ] || return 1
    fields=${fields##*) }
}

# Start time of a process, in $began.
began_of() {
    fields_of "$1" || return 1
    began=$(set -f; set -- $fields; printf %s "${20}")
}

boot_of() {
    b_id=
    { IFS= read -r b_id </proc/sys/kernel/random/boot_id; } 2>/dev/null
    printf %s "${b_id:-none}"
}

# Whether what a file names ("pid start boot") still lives.
lives() {
    [ -f "$1" ] || return 1
    read -r l_pid l_start l_boot <"$1" || return 1
    [ "$l_boot" = "$(boot_of)" ] && began_of "$l_pid" && [ "$began" = "$l_start" ] || return 1
    case $fields in Z* | X*) return 1 ;; esac
}

# Collects the tags and sessions of run directories in $tags and $sids.
know() {
    tags= sids=
    for k_run do
        [ -d "$k_run" ] || continue
        k_tag=
        { IFS= read -r k_tag <"$k_run/tag"; } 2>/dev/null
        [ -z "$k_tag" ] || tags="${tags:+$tags
}WHARF_HOST_TAG=$k_tag"
        k_pid= k_start= k_boot=
        { read -r k_pid k_start k_boot <"$k_run/pid"; } 2>/dev/null
        [ -n "$k_pid" ] && [ "$k_boot" = "$(boot_of)" ] || continue
        # A session whose number another process leads now is not this one.
        if began_of "$k_pid" && [ "$began" != "$k_start" ]; then continue; fi
        sids="$sids $k_pid"
    done
}

# One line "pid start name" for each process that has one of $tags in its environment, is in one of
# $sids, or descends from such a one. Fails when it could not look: then nothing is known.
live() {
    {
        # Every process that ends meanwhile makes it 2; more says that grep itself could not.
        [ -z "$tags" ] || grep -slzxF -e "$tags" /proc/[0-9]*/environ 2>/dev/null
        [ $? -le 2 ] || exit
        # A name may hold line ends: each line says whose it is.
        grep -saH '' /proc/[0-9]*/stat 2>/dev/null
        [ $? -le 2 ] && printf 'whole\n'
    } | awk -v sids="$sids" '
        /^\/proc\/[0-9]+\/environ$/ { split($0, part, "/"); mine[part[3]] = 1; next }
        /^\/proc\/[0-9]+\/stat:/ {
            split($0, part, "/"); line = $0; sub(/^[^:]*:/, "", line)
            if (part[3] in text) line = text[part[3]] " " line
            text[part[3]] = line
            next
        }
        /^whole$/ { whole = 1 }
        END {
            for (p in text) {
                rest = text[p]; sub(/^.*\) /, "", rest)
                if (split(rest, f, " ") < 20) continue
                name = text[p]; sub(/^[0-9]+ \(/, "", name); sub(/\) [A-Za-z] .*$/, "", name)
                state[p] = f[1]; parent[p] = f[2]; session[p] = f[4]; start[p] = f[20]; comm[p] = name
                seen = 1
            }
            if (!seen || !whole) exit 1
            n = split(sids, s, " ")
            for (i = 1; i <= n; i++) want[s[i]] = 1
            # The command itself too: it leads its session only after a moment.
            for (p in parent) if (session[p] in want || p in want) mine[p] = 1
            do {
                more = 0
                for (p in parent) if (!(p in mine) && (parent[p] in mine)) { mine[p] = 1; more = 1 }
            } while (more)
            for (p in mine) if (p in state && state[p] != "Z" && state[p] != "X") print p, start[p], comm[p]
        }'
}

# Sends a signal to those processes of its input that are still the same.
signal_each() {
    while read -r s_pid s_start s_name; do
        began_of "$s_pid" && [ "$began" = "$s_start" ] && kill -s "$1" "$s_pid" 2>/dev/null
    done
    return 0
}

# Sees to it that what is only about to start in these run directories never does, or is known; waits 5 s at most.
forbid() {
    f_looks=0
    for f_run do
        [ -d "$f_run" ] && [ ! -f "$f_run/exit" ] && [ ! -f "$f_run/pid" ] || continue
        { printf 'stop\n' | cat >"$f_run/stop"; } 2>/dev/null
        until [ -f "$f_run/pid" ] || [ -f "$f_run/exit" ]; do
            f_looks=$((f_looks + 1))
            [ "$f_looks" -lt 100 ] || break
            nap 0.05
        done
    done
}

ask_all() {
    # The eldest first: what started the others decides what it makes of their end.
    asked=$(live) || { nap 0.1; asked=$(live); } || return 1
    [ -n "$asked" ] || return 0
    asked=$(printf '%s\n' "$asked" | sort -n)
    printf '%s\n' "$asked" | signal_each TERM
    printf '%s\n' "$asked" | signal_each CONT
}

# Waits this many tenths of a second, then kills until nothing is left; at most 5 s longer. Fails when something
# is left or nobody could look.
end_all() {
    e_left=$1
    while [ "$e_left" -gt 0 ]; do
        if e_all=$(live) && [ -z "$e_all" ]; then return 0; fi
        nap 0.1
        e_left=$((e_left - 1))
    done
    e_left=50
    while [ "$e_left" -gt 0 ]; do
        if e_all=$(live); then
            [ -n "$e_all" ] || return 0
            printf '%s\n' "$e_all" | signal_each KILL
        fi
        nap 0.1
        e_left=$((e_left - 1))
    done
    e_all=$(live) && [ -z "$e_all" ]
}
