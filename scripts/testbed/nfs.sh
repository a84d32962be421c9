# The storage machine's NFS server: the kernel's, with a file /srv/nfs/disk.img.
# Sourced by init.sh.
#
#   nfs_start, nfs_stop         a restart has another write verifier
#   nfs_export OPTION,...       anew
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later

nfs_export() {
    echo "/srv/nfs *($1,insecure,no_subtree_check,fsid=1)" >/etc/exports
    exportfs -r
    exportfs -f
}

# No threads, and nothing in flight then. NFSv3 only; the grace period is for
# locks, which a disk does not need.
nfs_stop() { rpc.nfsd 0; }
nfs_start() { rpc.nfsd -N 4 8; }

mount_files() {  # mount_files MB
    mkdir -p /srv/nfs
    case $fs in
    ext4)
        make_disk 0 $1
        wait_for /dev/nullb0 && mkfs.ext4 -q /dev/nullb0
        mount -t ext4 /dev/nullb0 /srv/nfs
        ;;
    tmpfs) mount -t tmpfs -o size=$1m tmpfs /srv/nfs ;;
    esac
}

serve_nfs() {
    mkdir -p /var/lib/nfs /run/rpcbind
    mount_files $((size + 16))
    echo _rpc:x:106:65534::/run/rpcbind:/bin/false >>/etc/passwd
    load nfs
    mount -t nfsd nfsd /proc/fs/nfsd
    truncate -s "${size}M" /srv/nfs/disk.img
    chmod 666 /srv/nfs/disk.img
    : >/var/lib/nfs/etab
    : >/var/lib/nfs/rmtab
    rpcbind -w
    nfs_export rw,sync,no_root_squash
    nfs_start
    rpc.mountd -p 20048
}
