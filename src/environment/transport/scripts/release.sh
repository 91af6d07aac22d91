# Stops what runs in a lease and removes its directory. Arguments: path of the settings or "", directory or
# lease, "keep" or "remove", grace in tenths of a second.
dir=$2
if [ -n "$1" ]; then
    resolve "$1"
    dir=$path/leases/$2
fi
# An earlier removal that broke off.
gone=${dir%/*}/.gone-${dir##*/}
find_lease "$dir"
code=$?
if [ -n "$1" ]; then
    # Where there are no leases none was made.
    case $(ls -d -- "${dir%/*}" 2>&1) in
        *'No such file or directory'*) code=10 ;;
    esac
    [ "$3" != remove ] || rm -rf -- "${dir%/*}/.new-$2" || exit 13
fi
case $code in
    0)
        forbid "$found"/runs/*
        know "$found"/runs/*
        ask_all
        if ! end_all "$4"; then
            if left=$(live); then
                printf 'processes of the lease do not end: %s\n' "$(printf '%s\n' "$left" | head -n 5 | tr '\n' ';')" >&2
            else
                echo 'the processes of the host cannot be looked at' >&2
            fi
            exit 15
        fi
        # Shells that wait for a command whose watcher was ended.
        for holder in "$found"/runs/*/holder; do
            lives "$holder" && kill -s KILL "$l_pid" 2>/dev/null
        done
        [ "$3" = remove ] || exit 0
        gone=${found%/*}/.gone-${found##*/}
        # The mark goes last: with the name.
        [ ! -e "$gone" ] || { chmod -R u+rwx "$gone" 2>/dev/null; rm -rf -- "$gone"; }
        mv -- "$found" "$gone" || exit 13
        ;;
    10) [ "$3" = remove ] || exit 0 ;;
    *) exit $code ;;
esac
if [ -e "$gone" ] || [ -L "$gone" ]; then
    rm -rf -- "$gone" 2>/dev/null || { chmod -R u+rwx "$gone" 2>/dev/null; rm -rf -- "$gone"; }
    [ ! -e "$gone" ] || exit 13
fi
exit 0
