# Directories of leases. Part of other scripts.
unset CDPATH
LC_ALL=C
export LC_ALL
umask 077

# A path of the settings as it is here, in $path.
resolve() {
    case $1 in
        '~/'*) path=$HOME/${1#'~/'} ;;
        *) path=$1 ;;
    esac
}

# Finds the directory of a lease, in $found. Code 10: it is certain that it is not there. 11: it is not ours.
# 13: it cannot be looked at, or what it lies in is not there: a file system that is not mounted says nothing.
find_lease() {
    if [ ! -d "$1" ] && [ ! -L "$1" ]; then
        why=$(ls -d -- "$1" 2>&1) && return 11
        case $why in
            *'No such file or directory'*) [ ! -d "${1%/*}" ] || return 10 ;;
        esac
        printf '%s\n' "$why" >&2
        return 13
    fi
    [ ! -L "$1" ] || { printf '%s is a link\n' "$1" >&2; return 11; }
    found=$(cd -P -- "$1" && pwd -P) || return 13
    case $found in
        */leases/?*) ;;
        *) printf '%s is no directory of a lease\n' "$found" >&2; return 11 ;;
    esac
    mark=
    if [ ! -L "$found/.wharf-lease" ] && ! mark=$(cat "$found/.wharf-lease" 2>&1); then
        case $mark in
            *'No such file or directory'* | *'Is a directory'*) ;;
            *) printf '%s\n' "$mark" >&2; return 13 ;;
        esac
    fi
    case $mark in
        'wharf-lease 1' | 'wharf-lease 1
'*) ;;
        *) printf '%s does not carry our mark\n' "$found" >&2; return 11 ;;
    esac
}
