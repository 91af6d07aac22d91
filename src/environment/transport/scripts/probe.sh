# Looks whether runs can be kept here. Argument: path of the settings. Lines "name value".
printf 'uname %s\nuser %s\nhostname %s\n' "$(uname -srm)" "$(id -un 2>/dev/null || id -u)" "$(uname -n)"
resolve "$1"
if made=$(mkdir -p -- "$path/leases" 2>&1) && [ -w "$path/leases" ] && [ -x "$path/leases" ]; then
    printf 'path %s\n' "$(cd -P -- "$path" && pwd -P)"
    printf 'free %s\n' "$(df -Pk "$path" 2>/dev/null | awk 'NR == 2 { print $4 }')"
else
    printf 'nopath %s\n' "${made:-$path cannot be written}" | head -n 1
fi
missing=
for tool in awk cat chmod cp dd grep head id ls mkdir mkfifo mv rm setsid sleep sort tail tar tr uname wc; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -r /proc/self/stat ] && [ -r /proc/self/environ ] || missing="$missing /proc"
# A printf that is a program would show what it is given to everyone.
case $(type printf 2>/dev/null) in
    *builtin*) ;;
    *) missing="$missing printf" ;;
esac
printf 'missing%s\n' "$missing"
setsid --help 2>&1 | grep -q -e --fork || printf 'nofork yes\n'
printf 'git %s\n' "$(git --version 2>/dev/null)"
