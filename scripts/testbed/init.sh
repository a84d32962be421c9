#!/bin/busybox sh
# /init of both machines of the test bed.
#
# Kernel command line:
#   sn.role=storage|guest
#   sn.ip=A.B.C.D/len  sn.ip6=ADDR/len    of eth0
#   sn.size=MB  sn.block=512|4096         of the storage machine's namespace
#   sn.namespaces=N                       how many of them (default 1)
#   sn.serve=nvme,iscsi,nfs               what the storage machine offers
#                                         (default nvme)
#   sn.fs=tmpfs|ext4                      what the NFS server's files are on
#
# A machine runs the script that it is given as fw_cfg file
# opt/org.smartnic/job, and then powers off (guest) or serves on (storage).
# A job that wants the kernel's own NVMe/TCP initiator says "load initiator".
# Lines for whoever watches the serial port begin with "@@".
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later

/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mkdir -p /dev/shm /run/lock
mount -t tmpfs shm /dev/shm

role=guest ip= ip6= size=256 block=512 namespaces=1 serve=nvme fs=tmpfs
for word in $(cat /proc/cmdline); do
    case $word in sn.*=*) word=${word#sn.}; eval "${word%%=*}='${word#*=}'";; esac
done

say() { echo "@@ $*"; }

# As modprobe would take them from the kernel's command line
parameters() {
    tr ' ' '\n' </proc/cmdline |
        sed -n "s/^$(echo "${1%.ko}" | tr - _)\.//p"
}

load() {
    for m in $(cat /lib/modules/"$1"); do
        case $m in
        null_blk.ko) insmod /lib/modules/$m nr_devices=0 ;;
        *) insmod /lib/modules/$m $(parameters $m) 2>/dev/null ;;
        esac
    done
}

# The nodes of block and net devices appear a moment after their drivers.
wait_for() {
    _tries=0
    until [ -e "$1" ]; do
        _tries=$((_tries + 1))
        [ $_tries -gt 1200 ] && { say "MISSING $1"; return 1; }
        usleep 50000
    done
}

network() {
    ip link set lo up
    [ -n "$ip$ip6" ] || return 0
    wait_for /sys/class/net/eth0 || return 1
    # No duplicate address detection: the address is wanted at once.
    echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
    ip link set eth0 up
    [ -z "$ip" ] || ip addr add "$ip" dev eth0
    [ -z "$ip6" ] || ip addr add "$ip6" dev eth0
}

# A real NVMe/TCP target: the kernel's nvmet on RAM-backed block devices.
subsystem=nqn.2026-11.org.smartnic:vol0
config=/sys/kernel/config

make_disk() {  # make_disk NUMBER [MB]
    d=$config/nullb/nullb$1
    mkdir $d
    echo 1 >$d/memory_backed
    echo ${2:-$size} >$d/size
    echo $block >$d/blocksize
    echo 0 >$d/irqmode
    echo 0 >$d/completion_nsec
    echo 64 >$d/hw_queue_depth
    echo 1 >$d/discard
    echo 1 >$d/power
}

make_port() {
    p=$config/nvmet/ports/$1
    mkdir $p
    echo tcp >$p/addr_trtype
    echo $2 >$p/addr_adrfam
    echo $3 >$p/addr_traddr
    echo 4420 >$p/addr_trsvcid
    ln -s $config/nvmet/subsystems/$subsystem $p/subsystems/
}

serve_nvme() {
    s=$config/nvmet/subsystems/$subsystem
    mkdir $s
    echo 1 >$s/attr_allow_any_host
    echo SN0123456789 >$s/attr_serial
    i=1
    while [ $i -le $namespaces ]; do
        make_disk $((i - 1))
        n=$s/namespaces/$i
        mkdir $n
        echo -n /dev/nullb$((i - 1)) >$n/device_path
        # The same after a restart, or it would be another disk.
        echo 5a000000-0000-4000-8000-00000000000$i >$n/device_uuid
        echo 5a000000-0000-4000-8000-00000000000$i >$n/device_nguid
        echo 1 >$n/enable
        i=$((i + 1))
    done
    [ -z "$bootmark" ] || printf '%b' "$bootmark" | dd of=/dev/nullb0 2>/dev/null
    make_port 1 ipv4 0.0.0.0
    [ -z "$ip6" ] || make_port 2 ipv6 "${ip6%/*}"
}

storage() {
    mount -t configfs none $config
    for _service in $(echo "$serve" | tr , ' '); do
        case $_service in
        nvme) serve_nvme ;;
        *) . /etc/$_service.sh; serve_$_service ;;
        esac
    done
    iperf3 -s -D
    say STORAGE-READY
}

run_job() {
    job=/sys/firmware/qemu_fw_cfg/by_name/opt/org.smartnic/job/raw
    [ -e $job ] || return 0
    cat $job >/run/job
    . /run/job
}

if [ "$role" = storage ]; then
    load storage
    network
    storage
    run_job
    while :; do sleep 3600; done
fi
load guest
network
say GUEST-READY
run_job
say GUEST-DONE
sync
poweroff -f
