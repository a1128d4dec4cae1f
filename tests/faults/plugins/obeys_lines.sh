#!/bin/sh
# Obeys one line a request: a verb, and a mark that its reply carries.
while read -r verb mark; do
    case $verb in
        answer) echo "{\"result\":\"$mark\"}" ;;
        twice) echo "{\"result\":\"$mark\"}{\"result\":\"again\"}" ;;
        babble) echo "{babble" ;;
        die) exit 3 ;;
        hang) exec sleep 1000 ;;
    esac
done
