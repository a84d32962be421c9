#!/bin/bash
# servers.sh iscsi|nfs ROOT FOLDER ADDRESS[/BITS]: a server with a disk of 256 MiB
# in RAM. Says "ready" and its process' id (or "unable" and why), then carries out
# the lines of its standard input, with "did" or "failed" for each, until that
# ends:
#
#   start, stop     the server; stop kills it, and what it holds in files stays
#   adm ARGUMENT... tgtadm
#
# The iSCSI server is tgt, with LUN 1; the NFS one nfs-ganesha, with
# /mnt/disk.img. ROOT is what scripts/peers.sh unpacked. To be run in a mount
# namespace of its own (unshare -m), and in a network namespace that is the
# caller's to use. With BITS, the server is in yet another one, a veth away from
# the bridge br0 of the caller's: who talks to it does so through Ethernet frames,
# the host's kernel as well as a card on a tap.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail
what=$1 root=$2 folder=$3 address=${4%/*} net=$4
far=()
[ "$4" = "$address" ] || far=(ip netns exec far)    # becomes what it runs
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu:$root/usr/lib/ganesha
export TGT_IPC_SOCKET=$folder/tgt.sock
trap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT

# wait_port PORT
wait_port() {
    for _ in {1..200}; do
        (: >"/dev/tcp/$address/$1") 2>/dev/null && return 0
        sleep 0.05
    done
    echo "nobody listens at port $1" >&2
    exit 1
}

adm() { "$root/usr/sbin/tgtadm" --lld iscsi "$@" </dev/null >&2; }

iscsi() { truncate -s 256M "$folder/disk"; }

iscsi_start() {
    "${far[@]}" "$root/usr/sbin/tgtd" -f -t 1 --iscsi "portal=$address:3260" \
        >"$folder/log" 2>&1 &
    pid=$!
    wait_port 3260
    adm --mode target --op new --tid 1 --targetname "$IQN"
    adm --mode logicalunit --op new --tid 1 --lun 1 \
        --backing-store "$folder/disk"
    adm --mode target --op bind --tid 1 --initiator-address ALL
}

# Newer versions (Debian 13) want a capability that is of no use here and may be
# missing, and do not export a tmpfs.
flusher_option=Allow_Set_Io_Flusher_Fail
newer() {
    grep -qs "$flusher_option" "$root"/usr/lib/ganesha/libganesha_nfsd.so*
}

nfs() {
    mkdir -p /run/rpcbind /run/ganesha "$folder/recovery"
    { cat /etc/passwd; echo '_rpc:x:106:65534::/run/rpcbind:/bin/false'; } \
        >"$folder/passwd"
    mount --bind "$folder/passwd" /etc/passwd
    # QEMU and the card name the same path.
    if newer; then
        truncate -s 320M "$folder/fs"
        mkfs.ext4 -q "$folder/fs"
        mount -o loop "$folder/fs" /mnt || { echo "unable: no loop device"; exit 1; }
    else
        mount -t tmpfs tmpfs /mnt
    fi
    truncate -s 256M /mnt/disk.img
    chmod 666 /mnt/disk.img
    local rpcbind=$root/sbin/rpcbind
    [ -x "$rpcbind" ] || rpcbind=$root/usr/sbin/rpcbind
    "${far[@]}" "$rpcbind" -w -f >"$folder/rpcbind.log" 2>&1 &
    wait_port 111
    write_conf
}

write_conf() {
    local flusher=
    if newer; then
        flusher="$flusher_option = true;"
    fi
    cat >"$folder/conf" <<END
NFS_CORE_PARAM { NFS_Port = 2049; MNT_Port = 20048; Protocols = 3;
  Enable_NLM = false; Enable_RQUOTA = false; $flusher
  Plugins_Dir = "$root/usr/lib/x86_64-linux-gnu/ganesha"; }
NFSv4 { Graceless = true; RecoveryBackend = fs;
  RecoveryRoot = "$folder/recovery"; Only_Numeric_Owners = true;
  UseGetpwnam = true; }
DIRECTORY_SERVICES { DomainName = bench; }
EXPORT { Export_Id = 1; Path = "/mnt"; Pseudo = "/mnt"; Access_Type = RW;
  Squash = No_Root_Squash; Protocols = 3; Transports = TCP; SecType = sys;
  PrivilegedPort = false; FSAL { Name = VFS; } }
END
}

nfs_start() {
    "${far[@]}" "$root/usr/bin/ganesha.nfsd" -F -f "$folder/conf" -L "$folder/log" \
        -p "$folder/pid" >/dev/null 2>&1 &
    pid=$!
    wait_port 2049
    wait_port 20048
}

start() { "${what}_start"; }

stop() {
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
}

mount -t tmpfs tmpfs /run
if [ ${#far[@]} != 0 ]; then
    ip netns add far
    ip link add "${what}0" type veth peer name eth0 netns far
    ip link set "${what}0" master br0 up
    "${far[@]}" ip link set lo up
    "${far[@]}" ip addr add "$net" dev eth0
    "${far[@]}" ip link set eth0 up
fi
"$what"
start
echo "ready $pid"
while read -r line; do
    if eval "$line"; then echo did; else echo failed; fi
done
