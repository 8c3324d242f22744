#!/usr/bin/env bash
# Prints the mirror that this machine's apt uses for Debian itself; nothing where there is none.
set -euo pipefail
cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -vE '^[[:space:]]*#' | grep -oE '[a-z+]+://[^[:space:]]+/debian/?([[:space:]]|$)' | head -n 1 | tr -d '[:space:]' || true
