#!/bin/sh
# A plugin in POSIX shell: one incident, and whatever it is told to create.
while IFS= read -r line; do
    case $line in
    *'"method":"incident.get"'*'"payload":{"id":"none"}'*)
        printf '{"error":{"code":"not_found","message":"incident none not found"}}\n' ;;
    *'"method":"incident.query"'*)
        printf '{"result":[{"id":"1","title":"from the shell","status":"open"}]}\n' ;;
    *'"method":"incident.create"'*)
        printf '{"result":{"id":"2","title":"made"}}\n' ;;
    *)
        printf '{"error":"this plugin does not know the method"}\n' ;;
    esac
done
