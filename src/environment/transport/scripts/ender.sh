# Ends what was asked to end. Arguments: run directory, grace in tenths of a second.
trap '' HUP
know "$1"
end_all "$2"
