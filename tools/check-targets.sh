#!/usr/bin/env bash
# Checks that kinesic compiles for Windows and macOS, and that its library builds for the browser.
# With rustup it is enough to have the targets:
#     rustup target add x86_64-pc-windows-gnu aarch64-apple-darwin wasm32-unknown-unknown
# Without them it takes Debian's compiler for wasm, which comes with the sources of std, and builds std too.
# Usage: tools/check-targets.sh [TARGET]...     (all three where none is named)
set -euo pipefail
cd "$(dirname "$0")/.."

sysroot=$(rustc --print sysroot)
linker=$sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
[ -x "$linker" ] && export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
# A folder of its own: another compiler's outputs would push out those of the tests.
export CARGO_TARGET_DIR=$PWD/target/targets

cargo_for() {
    local target=$1
    shift
    if [ -d "$sysroot/lib/rustlib/$target/lib" ]; then
        cargo "$@" --target "$target"
    elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src ]; then
        # A stable compiler builds std (-Zbuild-std) only when RUSTC_BOOTSTRAP says so.
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$@" -Zbuild-std=std,panic_abort --target "$target"
    else
        echo "neither rustup's $target nor Debian's rustc-web is here: run tools/install-checkers.sh" >&2
        exit 2
    fi
}

[ $# -gt 0 ] || set -- x86_64-pc-windows-gnu aarch64-apple-darwin wasm32-unknown-unknown
for target in "$@"; do
    start=$SECONDS
    case $target in
    # Code is generated, not only checked: what a library without the command's dependencies gives to a browser's program.
    wasm32-*) cargo_for "$target" build --release -p kinesic --lib --no-default-features ;;
    *) cargo_for "$target" check --release -p kinesic ;;
    esac
    echo "$target: passed in $((SECONDS - start)) s"
done
