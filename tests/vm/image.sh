#!/usr/bin/env bash
# image.sh DIR: DIR/disk, DIR/vmlinuz and DIR/initrd of a Debian 12 as users have it, with systemd,
# its own kernel, and Shoal as `cmake --install` lays it down. Besides what Debian calls the minimum
# it has the packages that shoal-daemon(8) names, and what a test needs: TEST_PACKAGES.
#
# The part without Shoal is made once and kept in DIR/base: it comes from the Debian mirror that this
# machine is set up with. KERNEL (linux-image-cloud-amd64) is the package with the kernel.
set -euo pipefail
: "${SHOAL_BUILD:?}" "${RUN_PACKAGES:?}"
dir=$1
base=$dir/base
KERNEL=${KERNEL:-linux-image-cloud-amd64}
SYSTEM_PACKAGES="systemd-sysv dbus udev kmod iproute2 procps man-db"
TEST_PACKAGES="busybox-static curl"
policy="$KERNEL $SYSTEM_PACKAGES $TEST_PACKAGES $RUN_PACKAGES"

mirror() {
    apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
        awk '$2 == "bookworm" { print $1; exit }'
}

# The packages of the libraries that a program is linked to: those that it names, not theirs.
libraries() {
    local name path
    objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }' | while read -r name; do
        path=$(ldd "$1" | awk -v name="$name" '$1 == name { print $3 }')
        [ -z "$path" ] || dpkg-query -S "*${path#/usr}" | sed 's/:.*//'
    done | sort -u
}

make_base() {
    local site
    site=$(mirror)
    [ -n "$site" ] || { echo "vm: apt has no mirror of Debian 12 (bookworm)" >&2; exit 1; }
    rm -rf --one-file-system "$base" "$base.list"
    echo "vm: making a Debian 12 from $site; this is done once" >&2
    unshare -m debootstrap --variant=minbase --include="${SYSTEM_PACKAGES// /,},initramfs-tools" bookworm \
        "$base" "$site" >"$dir/debootstrap.log" 2>&1 || { tail -n 20 "$dir/debootstrap.log" >&2; exit 1; }
    mkdir -p "$base/etc/initramfs-tools/conf.d"
    echo MODULES=list >"$base/etc/initramfs-tools/conf.d/vm"
    printf '%s\n' virtio_pci virtio_blk ext4 >"$base/etc/initramfs-tools/modules"
    printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d"
    chmod +x "$base/usr/sbin/policy-rc.d"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive unshare -m sh -c "mount -t proc proc $base/proc; exec chroot $base apt-get install -y -q --no-install-recommends \
        $KERNEL $TEST_PACKAGES $RUN_PACKAGES $1" >>"$dir/debootstrap.log" 2>&1 ||
        { tail -n 20 "$dir/debootstrap.log" >&2; exit 1; }
    rm -rf "$base/usr/sbin/policy-rc.d" "$base"/var/cache/apt/*.bin "$base"/var/cache/apt/archives/*.deb \
        "$base"/var/lib/apt/lists/*
}

# Carries out what comes in over a virtual serial port: NUMBER COMMAND -> NUMBER STATUS OUTPUT.
make_shell() {
    cat >"$base/usr/local/sbin/vm-shell" <<'SHELL'
#!/bin/bash
exec 3<>/dev/virtio-ports/shell
while read -r number command <&3; do
    output=$(base64 -d <<<"$command" | timeout -k 5 600 bash 2>&1 3>&-)
    printf '%s %s %s\n' "$number" $? "$(base64 -w 0 <<<"$output")" >&3
done
SHELL
    chmod +x "$base/usr/local/sbin/vm-shell"
    cat >"$base/etc/systemd/system/vm-shell.service" <<'UNIT'
[Unit]
Description=Commands of the test outside

[Service]
ExecStart=/usr/local/sbin/vm-shell
Environment=HOME=/root
KillMode=process
Restart=always

[Install]
WantedBy=multi-user.target
UNIT
}

configure() {
    local i
    : >"$base/etc/machine-id" # each machine makes one of its own
    echo '/dev/vda / ext4 defaults 0 1' >"$base/etc/fstab"
    echo shoal >"$base/etc/hostname"
    rm -f "$base/etc/resolv.conf"
    echo 'nameserver 10.99.0.254' >"$base/etc/resolv.conf"
    for i in 1 2 3; do
        printf '[Match]\nMACAddress=52:54:00:99:00:0%d\n[Network]\nAddress=10.99.0.%d/24\nGateway=10.99.0.254\n' \
            $i $i >"$base/etc/systemd/network/host$i.network"
    done
    make_shell
    chroot "$base" systemctl enable -q vm-shell systemd-networkd systemd-networkd-wait-online
}

# A root file system with a shell and a web server, as people would make one.
make_web() {
    local root=$dir/web applet
    rm -rf "$root"
    mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,run}
    cp "$base/bin/busybox" "$root/bin/busybox"
    for applet in sh sleep echo httpd wget ping nslookup ip cat grep hostname mkdir seq dd head true; do
        ln -s busybox "$root/bin/$applet"
    done
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    tar -C "$root" -cf "$base/root/web.tar" .
}

install_shoal() {
    rm -rf "$base"/usr/local/{bin/shoal,lib/systemd,share/man}
    DESTDIR=$base cmake --install "$SHOAL_BUILD" --prefix /usr/local >"$dir/install.log" ||
        { cat "$dir/install.log" >&2; exit 1; }
}

mkdir -p "$dir"
needed=$(libraries "$SHOAL_BUILD/shoal" | tr '\n' ' ')
if [ "$(cat "$base.list" 2>/dev/null)" != "$policy $needed" ]; then
    make_base "$needed"
    echo "$policy $needed" >"$base.list"
fi
configure
make_web
install_shoal
cp "$(ls "$base"/boot/vmlinuz-*)" "$dir/vmlinuz"
cp "$(ls "$base"/boot/initrd.img-*)" "$dir/initrd"
rm -f "$dir/disk"
truncate -s 3G "$dir/disk"
mkfs.ext4 -q -d "$base" "$dir/disk"
