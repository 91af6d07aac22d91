#!/bin/sh
# Checks every program of the project, and fails on purpose.
set -eu
. ./agents/pace.sh

mkdir -p build
for file in src/*.sh agents/*.sh; do
    sh -n "$file"
    echo "checked $file"
    echo "$file is sound" >>build/report.txt
    pause 2
done
echo "linking the pier to the shore"
pause 3
echo "build: the shore is not where the map says" >&2
echo "failed on purpose" >>build/report.txt
exit 3
