#!/bin/sh
# Ignores SIGTERM. So does its child, which leaves the session and answers on a socket.
trap '' TERM

"$DEMO_WHARF" demo-hand apart stubborn.sock &
echo "I am $$ and my child is $!; both of us ignore SIGTERM"
echo "stop me: only SIGKILL will do, and it has to find both"
while :; do
    sleep 1
done
