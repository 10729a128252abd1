#!/usr/bin/env bash
# Installs the system packages that the build needs, and says which. Does nothing where they are all there.
set -euo pipefail
packages=(
    cmake                # builds librdkafka
    g++                  # likewise
    libssl-dev           # TLS and SCRAM in librdkafka
    zlib1g-dev           # gzip batches
    libzstd-dev          # zstd batches
    libcurl4-openssl-dev # a header that librdkafka 2.12 includes even when built without curl
    pkg-config           # finds the above
)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
    echo "arterial: please install what your system calls: ${missing[*]}" >&2
    exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo"
echo "arterial: installing ${missing[*]}"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
