# Debian packages without touching the machine's own apt configuration.
# Sourced by the other scripts; needs $DEPS, the folder for everything fetched.
#
# The archive hosts come from the machine's own apt sources. What this project
# needs beyond them (source packages, and backports on Debian 12) is added in a
# private apt state under $DEPS/apt.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later

say() { printf '%s\n' "smartnic: $*"; }
die() { printf '%s\n' "smartnic: error: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo -- "$@"
    else die "installing packages needs root: run as root or install sudo"
    fi
}

APT_LOG=$DEPS/apt.log

# apt's private state
apt_private=(
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$DEPS/apt/parts"
    -o Dir::State::Lists="$DEPS/apt/lists" -o Dir::Cache::pkgcache=
    -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
)
sn_apt_get() { apt-get -q "${apt_private[@]}" "$@"; }
sn_apt_cache() { apt-cache "${apt_private[@]}" "$@"; }

# What the machine's apt calls Debian: lines "URI CODENAME COMPONENT"
sn_apt_targets() {
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' 2>/dev/null | sort -u
}

# Writes the private sources and fetches the lists, once.
sn_apt_init() {
    [ -e "$DEPS/apt/ready" ] && return 0
    local codename targets uri suite parts=$DEPS/apt/parts
    codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
    case $codename in
    bookworm|trixie) ;;
    *) die "this is ${codename:-unknown}; set-up knows Debian 12 (bookworm)" \
           "and 13 (trixie)" ;;
    esac
    targets=$(sn_apt_targets)
    if [ -z "$targets" ]; then          # no lists yet on a fresh machine
        as_root apt-get -q update >>"$APT_LOG" 2>&1 ||
            die "apt-get update failed, see $APT_LOG"
        targets=$(sn_apt_targets)
    fi
    [ -n "$targets" ] || die "apt knows no Debian archive: add one to" \
        "/etc/apt/sources.list.d"
    mkdir -p "$parts" "$DEPS/apt/lists/partial"
    echo "$targets" | while read -r uri suite component; do
        echo "deb $uri $suite $component"
        echo "deb-src $uri $suite $component"
    done >"$parts/debian.list"
    uri=$(echo "$targets" | awk -v c="$codename" '$2 == c {print $1; exit}')
    [ -n "$uri" ] || die "apt has no main archive for $codename"
    if [ "$codename" = bookworm ]; then
        {
            echo "deb $uri bookworm-backports main"
            echo "deb-src $uri bookworm-backports main"
        } >>"$parts/debian.list"
    fi
    sort -u -o "$parts/debian.list" "$parts/debian.list"
    sn_apt_get update >>"$APT_LOG" 2>&1 ||
        die "fetching package lists failed, see $APT_LOG"
    touch "$DEPS/apt/ready"
}

# The suite that the newest QEMU comes from
sn_apt_suite() {
    case $(. /etc/os-release; echo "$VERSION_CODENAME") in
    bookworm) echo bookworm-backports ;;
    *) (. /etc/os-release; echo "$VERSION_CODENAME") ;;
    esac
}

# sn_apt_install PACKAGE[>=VERSION]... : installs what is missing or older
sn_apt_install() {
    local p have missing=()
    for p; do
        have=$(dpkg-query -W -f '${db:Status-Status} ${Version}' \
               "${p%%>=*}" 2>/dev/null) || have=
        case $have in
        "installed "*)
            [ "$p" = "${p%%>=*}" ] ||
                dpkg --compare-versions "${have#* }" ge "${p#*>=}" ||
                missing+=("${p%%>=*}") ;;
        *) missing+=("${p%%>=*}") ;;
        esac
    done
    [ ${#missing[@]} = 0 ] && return 0
    sn_apt_init
    say "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive bash -c "
        DEPS='$DEPS'; . '${BASH_SOURCE[0]}'
        sn_apt_get -t $(sn_apt_suite) install -y --no-install-recommends \
            ${missing[*]}" >>"$APT_LOG" 2>&1 ||
        die "installing ${missing[*]} failed, see $APT_LOG"
}

# sn_apt_download FOLDER PACKAGE... : fetches .debs there, installs nothing
sn_apt_download() {
    local dir=$1; shift
    sn_apt_init
    mkdir -p "$dir"
    (cd "$dir" && sn_apt_get download "$@") >>"$APT_LOG" 2>&1 ||
        die "fetching $* failed, see $APT_LOG"
}

# sn_apt_libraries PACKAGE... : the libraries that they need, at any distance;
# not those that are virtual
sn_apt_libraries() {
    sn_apt_cache depends --recurse --no-recommends --no-suggests \
        --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
        grep -E '^(lib|zlib|pci\.ids)' | grep -v ':' |
        xargs apt-cache "${apt_private[@]}" --no-all-versions show 2>/dev/null |
        sed -n 's/^Package: //p' | sort -u
}

# sn_apt_unpack FOLDER PACKAGE... : fetches them and unpacks them there
sn_apt_unpack() {
    local root=$1 debs=$DEPS/debs deb; shift
    rm -rf "$debs"
    sn_apt_download "$debs" "$@"
    mkdir -p "$root"
    for deb in "$debs"/*.deb; do
        dpkg-deb -x "$deb" "$root"
    done
    rm -rf "$debs"
}

# sn_apt_source FOLDER PACKAGE[=VERSION] : fetches a source package's files.
# For backports only the original archive may be left in the pool, so a
# failure counts only when that is missing; the caller checks.
sn_apt_source() {
    local dir=$1 src=$2
    sn_apt_init
    mkdir -p "$dir"
    (cd "$dir" && sn_apt_get source --download-only "$src") \
        >>"$APT_LOG" 2>&1 || true
}
