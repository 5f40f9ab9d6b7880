#!/bin/sh
# Runs the words that stand beside it, under its own name and `.words`. Here, and linked to from each folder: a program
# that was written a moment ago may still be open in a process that just began elsewhere, and cannot be started then.
. "$0.words"
