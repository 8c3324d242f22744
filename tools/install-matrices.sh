#!/usr/bin/env bash
# Makes a folder with a Mesa whose software adapter has cooperative matrices (26 or newer), for a machine whose own has none, and
# runs a program inside it: the kernels with matrices are then held against their references without a GPU.
# Usage: tools/install-matrices.sh PROGRAM [ARGUMENT]...     (as root; apt-get with mmdebstrap, and Debian's sid over the network)
# Exit code 3 where the folder cannot be made here, else the program's.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/target/matrices
cannot() { echo "kernels with cooperative matrices are not checked: $1" >&2; exit 3; }

if [ ! -e "$root/usr/share/vulkan/icd.d/lvp_icd.json" ]; then
    [ "$(id -u)" = 0 ] || cannot "to change into another root takes root"
    command -v apt-get >/dev/null || cannot "no apt-get here"
    command -v mmdebstrap >/dev/null ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap; } ||
        cannot "mmdebstrap cannot be installed"
    # The mirror that the machine uses for Debian itself.
    mirror=$(bash tools/debian-mirror.sh)
    [ -n "$mirror" ] || cannot "apt has no mirror of Debian"
    rm -rf "$root" "$root.part"
    # A mirror that is a snapshot has lists that are past their date.
    mmdebstrap --mode=root --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
        --include=mesa-vulkan-drivers,libvulkan1 sid "$root.part" "$mirror" ||
        { rm -rf "$root.part"; cannot "no Debian sid from $mirror"; }
    mv "$root.part" "$root"
fi

program=$1
shift
mkdir -p "$root/opt"
install "$program" "$root/opt/program"
exec chroot "$root" env VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json KINESIC_NEEDS_MATRICES=1 /opt/program "$@"
