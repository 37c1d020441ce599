# shellcheck shell=sh
# For hooks whose volume has several paths: one device of the kernel's dm-multipath over them. run-hook.sh reads it before the hook.
#
# multipathd watches the paths for as long as the system runs: one that does not answer is left out, it is used again when it does, and one
# that appears later is added. So it runs in the bundle, which outlives the initramfs, as @multipathd, which systemd's shutdown leaves alone;
# only nodes with such a root have it there. Other disks are not touched.
OQ_PATHS=${OPENQRM_BUNDLE:-/run/initramfs}

# Print the device over all paths to the volume that the disk $1 is one path to. The hook has mounted /sys and /proc in the bundle.
oq_multipath() {
    _wwid=$(oq_wwid "$1") || { echo "udev gives the disk $1 no serial number" >&2; return 1; }
    oq_multipath_programs >&2 && oq_multipath_allow "$_wwid" && oq_multipath_daemon >&2 || return 1
    oq_wait_device 20 oq_multipath_device "$_wwid" || { echo "multipathd makes no device of $1 ($_wwid)" >&2; return 1; }
}

# Print the name that all paths to the volume of the disk $1 have in common.
oq_wwid() {
    udevadm settle --timeout=10
    _name=$(udevadm info --query=property --name="$1" | sed -n 's/^ID_SERIAL=//p')
    case $_name in '' | *[!A-Za-z0-9_:.-]*) return 1 ;; esac
    printf '%s\n' "$_name"
}

# Have multipathd in the bundle, with the devices and what udev knows of them.
oq_multipath_programs() {
    modprobe -a dm_multipath dm_service_time || return 1
    [ ! -e "$OQ_PATHS/usr/sbin/@multipathd" ] || return 0
    (cd / && xargs tar -c -h -f - < /usr/lib/openqrm/multipath.files) | tar -x -f - -C "$OQ_PATHS" || return 1
    mkdir -p "$OQ_PATHS/etc/multipath/conf.d" "$OQ_PATHS/run/udev"
    oq_multipath_settings > "$OQ_PATHS/etc/multipath.conf" || return 1
    mount -t devtmpfs devtmpfs "$OQ_PATHS/dev" && mount --bind /run/udev "$OQ_PATHS/run/udev" || return 1
    mv "$OQ_PATHS/usr/sbin/multipathd" "$OQ_PATHS/usr/sbin/@multipathd"
}

# Print what is in force for all volumes. While no path answers, I/O waits; when the volume was taken away, it ends with errors.
oq_multipath_settings() {
    cat << EOT
defaults {
    find_multipaths greedy
    user_friendly_names no
    skip_kpartx yes
    polling_interval 2
    max_polling_interval 4
}
blacklist {
    wwid ".*"
}
overrides {
    path_grouping_policy multibus
    path_selector "service-time 0"
    path_checker tur
    detect_checker no
    prio const
    detect_prio no
    no_path_retry queue
    flush_on_last_del yes
    fast_io_fail_tmo 5
}
EOT
}

# Let multipathd use the paths to the volume $1.
oq_multipath_allow() {
    printf 'blacklist_exceptions {\n    wwid "^%s$"\n}\n' "$1" > "$OQ_PATHS/etc/multipath/conf.d/$1.conf"
}

# Start multipathd, or have it read its settings again.
oq_multipath_daemon() {
    if oq_multipath_answers; then
        oq_multipath_ask reconfigure
        return
    fi
    PATH=/usr/sbin:$PATH chroot "$OQ_PATHS" @multipathd -d -s > /dev/null 2>&1 < /dev/null &
    _tries=50
    until oq_multipath_answers; do
        [ "$_tries" -gt 0 ] || { echo "multipathd does not start"; return 1; }
        sleep 0.2
        _tries=$((_tries - 1))
    done
}

# Whether multipathd has its socket, which has a name and no file.
oq_multipath_answers() {
    grep -q '@/org/kernel/linux/storage/multipathd' /proc/net/unix
}

oq_multipath_ask() {
    timeout -s KILL 8 chroot "$OQ_PATHS" /usr/sbin/@multipathd "$@"
}

# Print the device over the paths to the volume $1.
oq_multipath_device() {
    for _block in /sys/block/dm-*; do
        [ "$(cat "$_block/dm/uuid" 2> /dev/null)" = "mpath-$1" ] && printf '/dev/%s\n' "${_block##*/}" && return 0
    done
    return 1
}

# End multipathd, before the root is unmounted: it cannot see the paths any more then. The kernel goes on without it; what reaches the volume
# by no path ends with an error from now on, so that a shutdown has an end.
oq_multipath_stop() {
    ! oq_multipath_answers || oq_multipath_ask shutdown
}

# Remove all devices over paths, when nothing is mounted any more: the disks below can then be logged out of.
oq_multipath_remove() {
    for _uuid in /sys/block/dm-*/dm/uuid; do
        case $(cat "$_uuid" 2> /dev/null) in
            mpath-*) timeout -s KILL 8 chroot "$OQ_PATHS" /usr/sbin/dmsetup --noudevsync --noudevrules remove --retry "$(cat "${_uuid%uuid}name")" ;;
        esac
    done
}
