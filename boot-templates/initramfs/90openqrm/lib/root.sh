# shellcheck shell=sh
# shellcheck disable=SC2034 # OQ_BACKGROUND is read by manifest.sh
# From an assignment to a root file system that is ready for its init. Each step is one function; node.sh runs them in order.
# Needs common.sh, manifest.sh, network.sh, and the manifest's OQM_* variables.

NEWROOT=${NEWROOT:-/sysroot}

# Run the function $1 of the deployment's hook in bounded time: for the root, or for the volume whose parameters are the shell
# text $2, at the mount point $3, with the access $4 (rw or ro).
oq_run_hook() {
    (
        eval "${2:-$OQM_PARAMETERS}"
        NEWROOT="${3:-$NEWROOT}" OPENQRM_ACCESS="${4:-rw}" OPENQRM_MAC="$OQ_BOOT_MAC" OPENQRM_SECRET="${OQ_GRANT:-}" \
            timeout -s KILL 90 /bin/busybox sh /usr/lib/openqrm/run-hook.sh "$1"
    )
}

oq_fetch_hook() {
    oq_fetch_blob "$OQM_HOOK" "$OQ/hook"
}

# Mount the root. The host name is set before: NFS servers tell clients apart by it.
oq_mount_root() {
    hostname "$OQM_HOSTNAME" || return 1
    oq_grant_secret
    oq_mount_by_mode
}

# Whether a system is in the root; the directories that are mounted over are made where it lacks them.
oq_check_system() {
    [ -x "$NEWROOT/sbin/init" ] || [ -L "$NEWROOT/sbin/init" ] || { echo "the root has no /sbin/init"; return 1; }
    for _directory in proc sys dev run tmp etc; do
        [ -d "$NEWROOT/$_directory" ] || mkdir -p "$NEWROOT/$_directory" || return 1
    done
}

oq_mount_by_mode() {
    if [ "${OQM_MEMORY:-}" = true ]; then
        oq_mount_memory
        return
    fi
    case $OQM_ROOT_MODE in
        read-write)
            # An empty volume that is to be installed into gets a file system.
            (
                [ "${OQM_TRANSFER_DIRECTION:-}" != install ] || export OPENQRM_NEW=true
                oq_mount_volume "$OQM_PARAMETERS" "$NEWROOT" rw
            )
            ;;
        overlay | private) oq_mount_overlay ;;
        *) echo "root mode '$OQM_ROOT_MODE' is not known to this initramfs"; return 1 ;;
    esac
}

# Have the hook mount a volume: oq_mount_volume PARAMETERS POINT rw|ro.
oq_mount_volume() {
    mkdir -p "$2"
    oq_run_hook mount_root "$1" "$2" "$3" || { echo "mount_root of the deployment method $OQM_METHOD failed"; return 1; }
    oq_is_mounted "$2" || { echo "mount_root of $OQM_METHOD ended well, but nothing is mounted at $2"; return 1; }
}

oq_is_mounted() {
    awk -v point="$1" '$2 == point { found = 1 } END { exit !found }' /proc/mounts
}

# Show the kernel's module tree in the root: a compressed file system in memory, so that the image is not changed.
oq_modules() {
    [ -n "$OQM_MODULES" ] || return 0
    oq_finish_prefetch
    oq_fetch_blob "$OQM_MODULES" "$OQ/modules.squashfs" || return 1
    _tree=$NEWROOT/lib/modules/$(uname -r)
    mkdir -p "$_tree" && mount -t squashfs -o loop,ro,nosuid,nodev "$OQ/modules.squashfs" "$_tree" || return 1
    _tree=$(readlink -f "$_tree")
    _unit=/run/systemd/system/$(oq_unit_name "${_tree#"$NEWROOT"}").mount.d
    mkdir -p "$_unit" && printf '[Unit]\nDefaultDependencies=no\n' > "$_unit/openqrm.conf"
}

# Print systemd's name for a path; the module tree stays mounted until the root goes, because udev uses it to the end.
oq_unit_name() {
    printf '%s\n' "${1#/}" | sed 's,-,\\x2d,g; s,+,\\x2b,g; s,~,\\x7e,g; s,/,-,g'
}

# Fetch in the background what a take-over will need and what is known before it: module tree, agent, the deployments' hooks.
oq_prefetch() {
    [ -z "${OQ_PREFETCH:-}" ] || return 0
    (
        modprobe -a loop squashfs nfsv4 overlay
        OQ_BACKGROUND=.background
        for _wanted in $OQM_WANTED $OQM_AGENT $OQM_MODULES; do
            oq_fetch_blob "$_wanted" "$OQ/blobs/$_wanted"
        done
    ) > /dev/null 2>&1 < /dev/null &
    OQ_PREFETCH=$!
}

oq_finish_prefetch() {
    [ -z "${OQ_PREFETCH:-}" ] || wait "$OQ_PREFETCH"
    OQ_PREFETCH=''
}

# Write /etc/fstab: the root, the manifest's lines, the image's own /etc/fstab-static, the swap partitions of this machine.
oq_fstab() {
    {
        echo '# Written by openQRM at every boot. Lines of this image belong in /etc/fstab-static.'
        if oq_keeps_root; then
            oq_run_hook root_fstab_line || return 1
        fi
        printf '%s\n' "$OQM_FSTAB"
        [ ! -f "$NEWROOT/etc/fstab-static" ] || cat "$NEWROOT/etc/fstab-static"
        oq_swap_lines
    } > "$NEWROOT/etc/fstab.openqrm" && mv "$NEWROOT/etc/fstab.openqrm" "$NEWROOT/etc/fstab"
}

# Use this machine's swap partitions from now on, because a system without udev does not find them, and print their lines.
oq_swap_lines() {
    blkid -t TYPE=swap -o device | while read -r _device; do
        if swapon "$_device"; then
            printf '%s none swap sw,nofail,x-systemd.device-timeout=15s 0 0\n' "$_device"
        fi
    done
}

# Write the host name, a machine id where members have their roots from one image, the manifest's lines of /etc/hosts, and a resolver configuration where the image has none.
oq_system_files() {
    printf '%s\n' "$OQM_HOSTNAME" > "$NEWROOT/etc/hostname" || return 1
    oq_keeps_root || oq_machine_id || return 1
    [ -z "$OQM_HOSTS" ] || oq_hosts_block || return 1
    if [ ! -s "$NEWROOT/etc/resolv.conf" ] && [ ! -L "$NEWROOT/etc/resolv.conf" ]; then
        cat "$OQ_BUNDLE/etc/resolv.conf" > "$NEWROOT/etc/resolv.conf" || return 1
    fi
}

# Replace the product's block in /etc/hosts; what the image has around it stays.
oq_hosts_block() {
    touch "$NEWROOT/etc/hosts"
    {
        sed '/^# BEGIN openqrm$/,/^# END openqrm$/d' "$NEWROOT/etc/hosts"
        printf '# BEGIN openqrm\n%s\n# END openqrm\n' "$OQM_HOSTS"
    } > "$NEWROOT/etc/hosts.openqrm" && mv "$NEWROOT/etc/hosts.openqrm" "$NEWROOT/etc/hosts"
}

# Keep the NICs that the root depends on as they are, whatever network manager the image has. All below /run.
oq_keep_network() {
    mkdir -p /run/systemd/network /run/NetworkManager/conf.d /run/systemd/system/networking.service.d
    _number=0
    _macs=''
    _excludes=''
    while read -r _mac _cidr _router _dns; do
        [ -n "$_mac" ] || continue
        _number=$((_number + 1))
        _nic=$(oq_interface "$_mac") || continue
        oq_networkd_file "$_mac" "$_cidr" "$_router" "$_dns" > "/run/systemd/network/05-openqrm-$_number.network"
        _macs="$_macs${_macs:+,}mac:$_mac"
        _excludes="$_excludes --exclude=$_nic"
        ln -sfn /dev/null "/run/systemd/system/ifup@$_nic.service"
    done << EOT
$OQ_BOOT_MAC $(oq_lease address) $(oq_lease router | cut -d ' ' -f 1 | sed 's/^$/-/') $(oq_lease dns)
$(printf '%s\n' "$OQM_NETWORKS" | awk -v boot="$OQ_BOOT_MAC" 'NF == 3 && $1 != boot { print $1, $3, "-" }')
EOT
    printf '[keyfile]\nunmanaged-devices=%s\n' "$_macs" > /run/NetworkManager/conf.d/05-openqrm.conf
    printf '[Service]\nExecStart=\nExecStart=/sbin/ifup -a --read-environment%s\nExecStop=\nExecStop=/sbin/ifdown -a --read-environment --exclude=lo%s\n' \
        "$_excludes" "$_excludes" > /run/systemd/system/networking.service.d/openqrm.conf
}

# Print systemd-networkd's file for a NIC: MAC CIDR ROUTER-or-dash "DNS...". The address stays when networkd stops.
oq_networkd_file() {
    printf '[Match]\nMACAddress=%s\n\n[Network]\nDescription=kept for the network root by openQRM\n' "$1"
    printf 'Address=%s\nKeepConfiguration=yes\nDHCP=no\n' "$2"
    [ "$3" = - ] || printf 'Gateway=%s\n' "$3"
    for _server in $4; do
        printf 'DNS=%s\n' "$_server"
    done
}

# Bound a shutdown, and have systemd end in the bundle, where the root can be unmounted. All below /run.
oq_shutdown() {
    cp /usr/lib/openqrm/shutdown.sh "$OQ_BUNDLE/shutdown" && chmod 0755 "$OQ_BUNDLE/shutdown" || return 1
    cp "$OQ/hook" "$OQ_BUNDLE/usr/lib/openqrm/hook" || return 1
    for _target in reboot poweroff; do
        mkdir -p "/run/systemd/system/$_target.target.d"
        printf '[Unit]\nJobTimeoutSec=180\nJobTimeoutAction=%s-force\n' "$_target" \
            > "/run/systemd/system/$_target.target.d/openqrm.conf"
    done
}

# Install the agent, a program that comes by digest, and leave it what it needs to know.
oq_install_agent() {
    [ -n "$OQM_AGENT" ] || { echo "the manifest names no agent"; return 1; }
    oq_fetch_blob "$OQM_AGENT" "$OQ/agent" && chmod 0755 "$OQ/agent" || return 1
    printf 'OQ_BOOT=%s\nOQ_API=%s\nOQ_MAC=%s\n' "$OQ_BOOT" "$OQ_API" "$OQ_MAC" > "$OQ/boot"
    : > "$OQ/deployed"
    /bin/busybox sh "$OQ/agent" install "$NEWROOT"
}

# Fetch the boot services, programs that come by digest, and write down what they may know; the agent starts them.
oq_boot_services() {
    rm -rf "$OQ/services" && mkdir -p "$OQ/services" || return 1
    [ -n "$OQM_SERVICES" ] || return 0
    printf 'OPENQRM_%s=%s\n' RESOURCE "$OQM_RESOURCE" APPLIANCE "$OQM_APPLIANCE" MEMBER "$OQM_MEMBER" EPOCH "$OQM_EPOCH" \
        > "$OQ/services.env"
    while read -r _name _digest; do
        oq_fetch_blob "$_digest" "$OQ/services/$_name" && chmod 0755 "$OQ/services/$_name" || return 1
    done << EOT
$OQM_SERVICES
EOT
}

# Take back what a take-over that failed has mounted, so that the next one starts clean.
oq_unmount_root() {
    rm -f "$OQ/deployed"
    swapoff -a
    for _tree in "$NEWROOT" "$OQ_LAYERS"; do
        awk -v root="$_tree" '$2 == root || index($2, root "/") == 1 { print $2 }' /proc/mounts | sort -r |
            while read -r _point; do
                timeout -s KILL 15 umount "$_point" || umount -l "$_point"
            done
    done
}
