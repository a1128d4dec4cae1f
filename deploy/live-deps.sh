#!/bin/sh
# Install what the live tests start: Prometheus, Alertmanager and nginx, and openssl for certificates.
#
# Debian packages; runs as root, does nothing where all commands are there, and is silent unless it
# fails. The packages would start their services on all interfaces: a policy-rc.d that answers 101
# forbids that while they are installed.
set -eu

packages=""
for package in prometheus prometheus-alertmanager openssl; do
    command -v "$package" >/dev/null 2>&1 || packages="$packages $package"
done
command -v nginx >/dev/null 2>&1 || packages="$packages nginx-light"
[ -n "$packages" ] || exit 0

policy=/usr/sbin/policy-rc.d
log=$(mktemp)
made_policy=""
finish() {
    status=$?
    if [ -n "$made_policy" ]; then rm -f "$policy"; fi
    if [ "$status" -ne 0 ]; then cat "$log" >&2; fi
    rm -f "$log"
}
trap finish EXIT

if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
verdict=0
"$policy" prometheus start >>"$log" 2>&1 || verdict=$?
if [ "$verdict" -ne 101 ]; then
    echo "$policy lets services start (it answers $verdict, not 101)" >>"$log"
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -q update >>"$log" 2>&1
# shellcheck disable=SC2086  # a list of words on purpose
apt-get -q install -y --no-install-recommends $packages >>"$log" 2>&1
