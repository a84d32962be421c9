# What the guest of the demo runs, as a job of the test bed: "@@ ==" begins a
# section on the screen, fail() ends the demo.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later

target=10.77.0.1
# Which node has which namespace, varies with the kernel.
node_of 1
disk=/dev/$node block=/sys/block/$node

say "== The guest's view: a PCI card, and an NVMe disk that needs no set-up"
lspci | grep -E '^00:04' || fail "the card is not on the PCI bus"
lsblk -d -o NAME,TYPE,SIZE,LOG-SEC,DISC-MAX $disk || fail "no disk"
nvme list || fail "nvme list"
echo "identity, from the target: $(cat $block/wwid)"

# keep_file DISK: with a filesystem, which is left mounted
keep_file() {
    mkfs.ext4 -q -F $1 || fail "mkfs.ext4"
    mount -t ext4 $1 /mnt || fail "mount"
    cp /run/data /mnt/data && sync && umount /mnt || fail "writing a file"
    mount -t ext4 $1 /mnt || fail "mounting again"
    cmp /run/data /mnt/data || fail "the file came back different"
}
kept="16 MiB written, unmounted, mounted again: the same bytes"

say "== A filesystem on the remote volume"
dd if=/dev/urandom of=/run/data bs=64k count=256 2>/dev/null
keep_file $disk
df -h /mnt
umount /mnt
echo "$kept"

nsid=0
for protocol in $protocols; do
    nsid=$((nsid + 1))
    [ $nsid = 1 ] && continue
    say "== Namespace $nsid of the same controller: $protocol"
    node_of $nsid
    cat /sys/block/$node/wwid
    keep_file /dev/$node
    umount /mnt
    echo "$kept"
done

say "== Network traffic and storage I/O at the same time, on one port"
iperf3 -c $target -t 6 -f m >/run/iperf 2>&1 &
iperf=$!
fio --name=both --filename=$disk --rw=randwrite --bs=16k --size=24m \
    --iodepth=16 --ioengine=libaio --direct=1 --verify=crc32c \
    --verify_fatal=1 --minimal >/run/fio 2>&1 || fail "fio verify"
echo "storage: 24 MiB written and verified (crc32c)"
wait $iperf || fail "iperf3"
awk '/receiver/ {print "network: " $5 " " $6 " sent at " $7 " " $8}' \
    /run/iperf
ping -c 3 -W 5 $target | grep -E 'packets|round-trip' || fail "ping"

# row LABEL RW BLOCKSIZE DEPTH : one line of the table
row() {
    fio --name=row --filename=$disk --rw=$2 --bs=$3 --iodepth=$4 \
        --ioengine=libaio --direct=1 --time_based --runtime=3 \
        --size=64m --minimal >/run/fio 2>/dev/null || fail "fio $1"
    # fio's terse format 3: KiB/s, IOPS and mean latency (us) of reads are
    # fields 7, 8 and 40; of writes, 48, 49 and 81.
    grep '^3;' /run/fio | awk -F';' -v label="$1" -v at="$(
        case $2 in *write) echo 41;; *) echo 0;; esac)" '{
        printf "%-28s %8d %10.1f %12d\n", label, $(8 + at), \
               $(7 + at) / 1024, $(40 + at) }'
}

say "== fio (the processor is emulated: figures of the guest, not the card)"
printf '%-28s %8s %10s %12s\n' "job" "IOPS" "MiB/s" "latency us"
row "read 4k, one at a time" randread 4k 1
row "read 4k, 32 in flight" randread 4k 32
row "write 4k, 32 in flight" randwrite 4k 32
row "read 128k, 8 in flight" read 128k 8
say OK
