# Takes more of a command's input. Arguments: run directory, offset of what comes on standard input, "more" or
# "end". What is here already is not taken twice.
umask 077
cd "$1" || exit 10
[ ! -f exit ] || exit 0
size=$(wc -c <in) || exit 13
[ "$size" -ge "$2" ] || exit 16
tail -c "+$((size - $2 + 1))" >>in || exit 13
[ "$3" = more ] || : >in.end
