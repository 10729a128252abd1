#!/usr/bin/env bash
# Prints the path of the arterial binary that `cargo build` has made (`--release`: the optimised one).
set -euo pipefail
profile=debug
[ "${1:-}" = "--release" ] && profile=release
target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
echo "$target/$profile/arterial"
