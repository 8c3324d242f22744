#!/usr/bin/env bash
# Installs what the checks use beyond Rust and a software driver, on Debian or Ubuntu: spirv-val, which the portability test
# hands every shader; Mesa's RADV with the Vulkan loader, which is the inspector's compiler; node, for Dawn; and what check-targets.sh
# compiles with where rustup lacks its targets.
# Does nothing where all of it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null; }
packages=()
has spirv-val || packages+=(spirv-tools)
# After install-driver.sh, so that Mesa is of the version that it chose.
[ -n "$(find /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d -name 'radeon_icd*.json' 2>/dev/null)" ] ||
    packages+=(mesa-vulkan-drivers)
[ -n "$(/sbin/ldconfig -p | grep -F libvulkan.so.1)" ] || packages+=(libvulkan1)
has node || packages+=(nodejs)
has npm || packages+=(npm)
rustlib=$(rustc --print sysroot)/lib/rustlib
for target in x86_64-pc-windows-gnu aarch64-apple-darwin wasm32-unknown-unknown; do
    [ -d "$rustlib/$target/lib" ] && continue
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src ] || packages+=(rustc-web cargo-web rust-web-src)
    # Build scripts of Windows' std look for its assembler and archiver.
    [ "$target" != x86_64-pc-windows-gnu ] || has x86_64-w64-mingw32-gcc || packages+=(gcc-mingw-w64-x86-64)
done

[ ${#packages[@]} -gt 0 ] || exit 0
has apt-get || { echo "no apt-get here: install ${packages[*]} by your distribution's means" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends "${packages[@]}"
