# The storage machine's iSCSI target: the kernel's (LIO), on a loop device over
# a sparse file, so that the logical unit can be resized. Sourced by init.sh.
#
#   iscsi_start, iscsi_stop     the portal; sessions end at once
#   iscsi_resize MB             of the logical unit
#   iscsi_write_through         the logical unit has no cache, nor FUA
#   iscsi_lun_reset             by another initiator
#   iscsi_chap USER SECRET [MUTUAL_USER MUTUAL_SECRET]
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later

iqn=iqn.2026-11.org.smartnic:vol0
tpg=$config/target/iscsi/$iqn/tpgt_1

iscsi_attributes() {
    for _a; do echo "${_a#*=}" >"$tpg/attrib/${_a%%=*}"; done
}

iscsi_start() {
    mkdir "$tpg/np/0.0.0.0:3260"
    echo 1 >"$tpg/enable"
}

iscsi_stop() {
    echo 0 >"$tpg/enable"
    rmdir "$tpg/np/0.0.0.0:3260"
}

iscsi_resize() {
    truncate -s "$1M" /srv/iscsi.img
    losetup -c /dev/loop0
}

iscsi_write_through() {
    echo "write through" >/sys/block/loop0/queue/write_cache
}

iscsi_chap() {
    iscsi_attributes authentication=1
    echo -n "$1" >"$tpg/auth/userid"
    echo -n "$2" >"$tpg/auth/password"
    [ -z "$3" ] || {
        echo -n "$3" >"$tpg/auth/userid_mutual"
        echo -n "$4" >"$tpg/auth/password_mutual"
    }
}

# Logs in, in one step, and asks for LOGICAL UNIT RESET (RFC 7143, sections 11.12
# and 11.5); 228000 is the answer to that: done.
iscsi_lun_reset() {
    _keys="InitiatorName=iqn.2026-11.org.smartnic:other|"
    _keys="${_keys}SessionType=Normal|TargetName=$iqn|HeaderDigest=None|"
    _keys="${_keys}DataDigest=None|ImmediateData=Yes|MaxBurstLength=65536|"
    _keys="${_keys}DefaultTime2Wait=0|DefaultTime2Retain=0|"
    _keys="${_keys}MaxOutstandingR2T=1|ErrorRecoveryLevel=0|"
    rm -f /run/reset.in /run/reset.out
    mkfifo /run/reset.in
    nc 127.0.0.1 3260 </run/reset.in >/run/reset.out &
    {
        printf '\x43\x87\0\0\0\0'
        printf "$(printf '\\x%x\\x%x' $((${#_keys} >> 8)) $((${#_keys} & 255)))"
        printf '\x80\0\0\0\0\1\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0'
        head -c 16 /dev/zero
        printf %s "$_keys" | tr '|' '\0'
        head -c $((-${#_keys} & 3)) /dev/zero

        printf '\x42\x85\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2'
        printf '\xff\xff\xff\xff\0\0\0\1\0\0\0\0'
        head -c 16 /dev/zero
        while :; do
            _hex=$(hexdump -v -e '1/1 "%02x"' /run/reset.out)
            _at=$((2 * (48 + (0x0${_hex:10:6} + 3) / 4 * 4)))
            [ ${#_hex} -lt $((_at + 96)) ] || break
            usleep 10000
        done
    } >/run/reset.in
    kill $!
    [ "${_hex:$_at:6}" = 228000 ]
}

serve_iscsi() {
    mkdir -p /srv /etc/target
    grep -q ' /srv ' /proc/mounts || mount -t tmpfs -o size=90% tmpfs /srv
    load iscsi
    truncate -s "${size}M" /srv/iscsi.img
    losetup /dev/loop0 /srv/iscsi.img
    _b=$config/target/core/iblock_0/vol0
    mkdir -p $_b
    echo -n udev_path=/dev/loop0 >$_b/control
    echo 1 >$_b/enable
    echo sn0123456789 >$_b/wwn/vpd_unit_serial
    echo 1 >$_b/attrib/emulate_tpu
    mkdir -p "$tpg/lun/lun_0"
    ln -s $_b "$tpg/lun/lun_0/vol0"
    iscsi_attributes authentication=0 generate_node_acls=1 \
        demo_mode_write_protect=0 cache_dynamic_acls=1 default_cmdsn_depth=64
    iscsi_start
}
