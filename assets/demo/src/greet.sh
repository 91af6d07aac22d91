#!/bin/sh
# Greets a visitor.
echo "Welcome to the pier."
