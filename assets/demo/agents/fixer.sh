#!/bin/sh
# Changes one file, tries it, commits it.
set -eu
. ./agents/pace.sh

echo "I am told:"
cat
echo
echo "on branch $(git rev-parse --abbrev-ref HEAD), src/greet.sh is"
cat src/greet.sh
pause 10

echo "--- teaching it names"
cat >src/greet.sh <<'END'
#!/bin/sh
# Greets a visitor, by name when there is one.
if [ $# -gt 0 ]; then
    echo "Welcome to the pier, $1."
else
    echo "Welcome to the pier."
fi
END
git --no-pager diff --stat
pause 10

echo "--- trying it"
for name in Ada Grace; do
    said=$(sh src/greet.sh "$name")
    echo "greet.sh $name: $said"
    if [ "$said" != "Welcome to the pier, $name." ]; then
        echo "that is not how $name is greeted" >&2
        exit 1
    fi
    pause 5
done

echo "--- committing it"
git add src/greet.sh
git commit -q -m "Greet visitors by their name"
git --no-pager log --oneline -2

# What it says here reaches the operator through its own socket, whoever orchestrates.
"$DEMO_WHARF" --data-dir . comment "Visitors are greeted by their name; see the commit on my branch."
pause 5
echo "done"
