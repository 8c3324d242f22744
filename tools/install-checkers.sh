#!/usr/bin/env bash
# Installs what the checks use beyond Rust and a driver, on Debian or Ubuntu: spirv-val, which the portability test hands every
# shader. Does nothing where it is there already.
set -euo pipefail

command -v spirv-val >/dev/null && exit 0
command -v apt-get >/dev/null || { echo "no apt-get here: install your distribution's SPIRV-Tools" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends spirv-tools
