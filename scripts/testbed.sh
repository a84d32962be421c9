#!/bin/bash
# Makes the machines of the guest tests and the demo: a kernel and one small
# initramfs for both roles, storage and guest, from Debian's packages. Nothing
# of it is installed. A second run does nothing.
#
#   $DEPS/testbed/vmlinuz
#   $DEPS/testbed/initramfs.cpio
#   $DEPS/testbed/efi/               a UEFI firmware, and a boot loader for it
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=${DEPS:-$top/.deps}
mkdir -p "$DEPS"
. "$top/scripts/apt.sh"

bed=$DEPS/testbed
root=$bed/root                  # the packages, unpacked
tree=$bed/tree                  # what goes into the initramfs
parts=$top/scripts/testbed

packages=(busybox-static util-linux mount pciutils kmod e2fsprogs iperf3
          nvme-cli ovmf systemd-boot-efi nfs-kernel-server nfs-common rpcbind
          libtirpc-common netbase)
storage_modules=(virtio_pci virtio_net qemu_fw_cfg crc32c-intel null_blk
                 configfs nvmet nvmet-tcp)
# (The driver of NVMe devices is part of Debian 12's kernel.)
guest_modules=(virtio_pci virtio_net virtio_blk nvme qemu_fw_cfg)
# The kernel's own initiator; a job loads it, since few need it.
initiator_modules=(crc32c-intel nvme-tcp)
# The storage machine's other servers, loaded when one is wanted
iscsi_modules=(crc32c-intel loop target_core_mod target_core_iblock
               iscsi_target_mod)
nfs_modules=(nfsd)
programs=(lsblk lspci mkfs.ext4 iperf3 blkdiscard fstrim nvme losetup
          rpcbind rpc.nfsd rpc.mountd exportfs)
fio_off=(numa rdma rados rbd http gfapi pmem libnfs tcmalloc libzbc xnvme dfs)

# The package behind the name of the newest kernel
kernel_package() {
    sn_apt_cache depends linux-image-cloud-amd64 |
        awk '/Depends: linux-image-/ {print $2; exit}'
}

fetch() {
    local kernel
    sn_apt_init
    kernel=$(kernel_package)
    [ -n "$kernel" ] || die "apt knows no linux-image-cloud-amd64"
    say "fetching $kernel and the guest's programs"
    rm -rf "$root"
    fetch_packages "$kernel" "${packages[@]}"
}

# fetch_packages PACKAGE... : unpacks them, and the libraries that they need
fetch_packages() {
    # shellcheck disable=SC2046
    sn_apt_unpack "$root" "$@" $(sn_apt_libraries "$@")
}

# fio from Debian's source, because its package brings 80 MB of libraries along;
# that one is good too when the archive has lost the source.
get_fio() {
    local archive
    [ -x "$bed/fio" ] && return 0
    sn_apt_source "$bed/sources" fio
    archive=$(find "$bed/sources" -name 'fio_*.orig.tar.*' ! -name '*.asc' |
              sort -V | tail -n 1)
    if [ -s "$archive" ]; then
        build_fio "$archive"
    else
        say "fio's source is gone from the archive, using its package"
        fetch_packages fio
    fi
}

build_fio() {
    sn_apt_install gcc make libaio-dev zlib1g-dev
    say "building fio"
    rm -rf "$bed/fio-build"
    mkdir -p "$bed/fio-build"
    tar -xf "$1" -C "$bed/fio-build" --strip-components=1
    (cd "$bed/fio-build" &&
     ./configure --build-static --disable-native \
         "${fio_off[@]/#/--disable-}" && make -j"$(nproc)" fio) \
        >"$bed/fio.log" 2>&1 || die "building fio failed, see $bed/fio.log"
    strip -o "$bed/fio" "$bed/fio-build/fio"
    rm -rf "$bed/fio-build"
}

# find_file FOLDERS NAME : a file of the unpacked packages; where Debian puts it
# differs between releases. FOLDERS is a pattern of its last folder.
find_file() {
    find "$root" -regextype egrep -regex ".*/($1)/[^/]*" -name "$2" |
        sort | head -n 1
}

add_libraries() {
    readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
    while read -r lib; do
        [ -e "$tree/usr/lib/$lib" ] && continue
        local file
        file=$(find_file 'lib|lib64|lib/x86_64-linux-gnu(/ceph)?' "$lib")
        [ -n "$file" ] || die "no package of the test bed has $lib"
        cp -L "$file" "$tree/usr/lib/$lib"
        add_libraries "$tree/usr/lib/$lib"
    done
}

add_program() {
    local file
    file=$(find_file 'bin|sbin' "$1")
    [ -n "$file" ] || die "no package of the test bed has $1"
    install -m 755 "$(realpath "$file")" "$tree/usr/bin/$1"
    add_libraries "$tree/usr/bin/$1"
}

# list_modules FROM VERSION LIST MODULE... : copies modules and those that they
# need, and writes their names in the order of loading
list_modules() {
    local from=$1 kv=$2 list=$3 file name
    shift 3
    for module; do
        modprobe -d "$from" -S "$kv" --show-depends "$module" |
            awk '/^insmod/ {print $2}'
    done | awk '!seen[$0]++' | while read -r file; do
        name=$(basename "${file%.xz}")
        if [ ! -e "$(dirname "$list")/$name" ]; then
            case $file in
            *.xz) xz -dc "$file" ;;
            *) cat "$file" ;;
            esac >"$(dirname "$list")/$name"
            strip --strip-debug "$(dirname "$list")/$name"
        fi
        echo "$name" >>"$list"
    done
}

add_modules() {
    local kv from to
    to=$tree/lib/modules
    from=$(find "$root" -type d -path '*/lib/modules/*-cloud-amd64' -prune |
           head -n 1)
    kv=$(basename "$from")
    from=${from%/lib/modules/*}
    mkdir -p "$to"
    depmod -b "$from" "$kv"
    list_modules "$from" "$kv" "$to/storage" "${storage_modules[@]}"
    list_modules "$from" "$kv" "$to/guest" "${guest_modules[@]}"
    list_modules "$from" "$kv" "$to/initiator" "${initiator_modules[@]}"
    list_modules "$from" "$kv" "$to/iscsi" "${iscsi_modules[@]}"
    list_modules "$from" "$kv" "$to/nfs" "${nfs_modules[@]}"
    cp "$(find "$root" -path "*boot/vmlinuz-$kv")" "$bed/vmlinuz"
}

make_initramfs() {
    local file
    rm -rf "$tree"
    mkdir -p "$tree"/{usr/bin,usr/lib,dev,proc,sys,run,tmp,mnt,etc/nvme}
    chmod 755 "$tree"
    ln -s usr/bin "$tree/bin"
    ln -s usr/bin "$tree/sbin"
    ln -s usr/lib "$tree/lib64"
    mkdir -p "$tree/lib"
    install -m 755 "$(find_file bin busybox)" "$tree/usr/bin/busybox"
    for program in "${programs[@]}"; do
        add_program "$program"
    done
    cp -L "$(find_file 'lib64|x86_64-linux-gnu' ld-linux-x86-64.so.2)" "$tree/usr/lib/"
    if [ -x "$bed/fio" ]; then cp "$bed/fio" "$tree/usr/bin/fio"
    else add_program fio
    fi
    mkdir -p "$tree/usr/share/misc"
    find "$root" -type f -name pci.ids -exec cp {} "$tree/usr/share/misc/" \;
    # Who the kernel's initiator says it is
    echo nqn.2026-11.org.smartnic:guest >"$tree/etc/nvme/hostnqn"
    echo 5a000000-0000-4000-8000-0000000000ff >"$tree/etc/nvme/hostid"
    add_modules
    # What rpcbind and its users look up
    for file in netconfig protocols services rpc; do
        cp "$(find_file etc $file)" "$tree/etc/"
    done
    cp "$parts"/{iscsi,nfs}.sh "$tree/etc/"
    install -m 755 "$parts/init.sh" "$tree/init"
    (cd "$tree" && find . | LC_ALL=C sort |
     cpio -o -H newc -R 0:0 --quiet) >"$bed/initramfs.new"
    mv "$bed/initramfs.new" "$bed/initramfs.cpio"
}

make_efi() {
    local file
    rm -rf "$bed/efi"
    mkdir "$bed/efi"
    for file in OVMF_CODE_4M.fd OVMF_VARS_4M.fd; do
        cp -L "$root/usr/share/OVMF/$file" "$bed/efi/"
    done
    file=$(find_file efi systemd-bootx64.efi)
    [ -n "$file" ] || die "no package of the test bed has systemd-bootx64.efi"
    cp "$file" "$bed/efi/bootx64.efi"
}

key=$(cat "$0" "$parts"/* | sha256sum)
stamp=$bed/stamp
[ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && exit 0
mkdir -p "$bed"
fetch
get_fio
say "making the initramfs"
make_initramfs
make_efi
echo "$key" >"$stamp"
