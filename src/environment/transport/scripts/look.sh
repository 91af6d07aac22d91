# What became of directories of leases. Arguments: the directories. One line for each: its code.
for one do
    find_lease "$one" 2>/dev/null
    printf 'seen %s\n' $?
done
