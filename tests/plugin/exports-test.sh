#!/bin/sh
# exports-test.sh PLUGIN QEMU: what the plugin, and the modules beside it, give
# and take as objects.
#
# QEMU exports some 24,000 names. One more from us that is among them would be
# bound to QEMU's, and one that we need and nobody has is a NULL pointer, since
# references to QEMU are weak.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
plugin=$1 qemu=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

# names FILE NM-OPTION: dynamic symbols without their versions
names() { nm -D "$2" "$1" | awk '{print $NF}' | sed 's/@.*//' | sort -u; }

names "$plugin" --defined-only >"$tmp/exports"
printf '%s\n' qemu_plugin_install qemu_plugin_version >"$tmp/expected"
if ! diff -u "$tmp/expected" "$tmp/exports"; then
    echo "the plugin must export what the loader looks for, and nothing else"
    status=1
fi

{
    names "$qemu" --defined-only
    # The loader itself, which has no arrow, gives some names as well.
    ldd "$plugin" | awk '$2 == "=>" {print $3} $1 ~ "^/" {print $1}' |
    while read -r lib; do
        names "$lib" --defined-only
    done
    # What a compiler's start files may ask for
    printf '%s\n' __gmon_start__ _ITM_deregisterTMCloneTable \
        _ITM_registerTMCloneTable __cxa_finalize
} | sort -u >"$tmp/given"
names "$plugin" --undefined-only >"$tmp/needs"
grep -q . "$tmp/needs" || { echo "nm shows no references at all"; status=1; }
if comm -23 "$tmp/needs" "$tmp/given" | grep .; then
    echo "neither QEMU nor a library of the plugin has these"
    status=1
fi

# Whatever moves bytes of a socket; open() and the like are about files.
calls='accept4?|bind|close|connect|dup[23]?|fcntl(64)?|listen|getaddrinfo'
calls="$calls|freeaddrinfo|getnameinfo|gethostby.*|getpeername|getserv.*"
calls="$calls|getsock.*|setsockopt|ioctl|p?poll|p?select|epoll_.*"
calls="$calls|p?readv?(64|v2)?|recv(from|m?msg)?|send(to|m?msg|file)?"
calls="$calls|shutdown|socket(pair)?|p?writev?(64|v2)?"

# A module gives its one entry, and socket calls that the C library has, too.
libc=$(ldd "$plugin" | awk '$1 == "libc.so.6" {print $3}')
names "$libc" --defined-only >"$tmp/libc"
for module in "$(dirname "$plugin")"/smartnic-*.so; do
    names "$module" --defined-only >"$tmp/exports"
    grep -qx smartnic_module_init "$tmp/exports" ||
        { echo "$module has no smartnic_module_init"; status=1; }
    if grep -vx smartnic_module_init "$tmp/exports" |
        comm -23 - "$tmp/libc" | grep .; then
        echo "$module must not export these"
        status=1
    fi
    ldd "$module" | awk '/libiscsi|libnfs/ {print $3}' |
    while read -r lib; do names "$lib" --undefined-only; done | sort -u |
        grep -Ex "_*($calls)(_chk)?" |
        comm -23 - "$tmp/exports" >"$tmp/lacks"
    if grep . "$tmp/lacks"; then
        echo "$module's library calls these, and would get the host's"
        status=1
    fi
done

# Text relocations or an executable stack would be refused by some systems.
if readelf -dW "$plugin" | grep -q TEXTREL; then
    echo "the plugin has text relocations"
    status=1
fi
if readelf -lW "$plugin" | grep GNU_STACK | grep -q 'RWE'; then
    echo "the plugin wants an executable stack"
    status=1
fi
exit $status
