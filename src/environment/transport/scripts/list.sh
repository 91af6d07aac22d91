# The processes of a tag, as the launcher gives it. Arguments: lease directory, tag, its name, grace in tenths of a second or "look".
dir=$1 tag=$2 name=$3 grace=$4
[ -d /proc/self ] || { echo 'the host has no /proc' >&2; exit 14; }
[ "$grace" = look ] || forbid "$dir"/runs/"$name".*
know "$dir"/runs/"$name".*
tags="${tags:+$tags
}WHARF_HOST_TAG=$tag"
if [ "$grace" != look ]; then
    ask_all
    end_all "$grace"
fi
live || { echo 'the processes of the host cannot be looked at' >&2; exit 15; }
printf 'end\n'
