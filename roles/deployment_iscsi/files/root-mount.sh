# shellcheck shell=sh
# Root on a volume over iSCSI, run in the initramfs and at the end of a shutdown. Parameters: target (its name), portals (addresses of
# the server, with a port or not), initiator (this machine's name). $OPENQRM_SECRET: for CHAP, if any.
#
# Where two portals or more are on networks that this machine is in, it logs in at each of them, and the root is a multipath device, which
# needs one of them. Else the first portal that answers is used.
#
# iscsid keeps the session, and logs in again after an outage, for as long as the system runs. So it runs in the bundle, which
# outlives the initramfs, and its name begins with '@', which is how systemd knows what a root depends on.
BUNDLE=${OPENQRM_BUNDLE:-/run/initramfs}

mount_root() {
    PATHS=$(iscsi_paths)
    iscsi_programs && iscsi_daemon && iscsi_login || return 1
    device=$(oq_wait_device 30 iscsi_device) || { echo "the volume of $OPENQRM_PARAM_TARGET does not appear"; return 1; }
    if [ -n "$PATHS" ]; then
        device=$(oq_multipath "$device") || return 1
        iscsi_watch
    fi
    oq_mount_device "$device"
}

root_fstab_line() {
    oq_device_fstab_line
}

# What is to be done at the end of a shutdown before the root is unmounted.
prepare_release() {
    ! iscsi_has_multipath || oq_multipath_stop
}

# Log out of all targets, when nothing is mounted any more. A server that is away cannot be told.
release_root() {
    ! iscsi_has_multipath || oq_multipath_remove
    mkdir -p "$BUNDLE/run/lock/iscsi"
    status=0
    for session in /sys/class/iscsi_session/session*; do
        [ "$(cat "$session/state" 2> /dev/null)" = LOGGED_IN ] || continue
        timeout -s KILL 20 chroot "$BUNDLE" /usr/sbin/iscsiadm --mode session --sid "${session##*session}" --logout || status=1
    done
    return "$status"
}

# Print the portals on networks of this machine, where there are two or more: the paths to the volume.
iscsi_paths() {
    iscsi_has_multipath || return 0
    near=$(iscsi_portals | while read -r portal; do
        case $(ip route get "$(iscsi_host "$portal")" 2> /dev/null) in *' via '* | '') ;; *) printf '%s\n' "$portal" ;; esac
    done)
    [ "$(printf '%s\n' "$near" | grep -c .)" -lt 2 ] || printf '%s\n' "$near"
}

# Whether the initramfs is one that knows multipath: it may be older than this file.
iscsi_has_multipath() {
    command -v oq_multipath > /dev/null
}

iscsi_portals() {
    printf '%s\n' "$OPENQRM_PARAM_PORTALS" | tr ',' '\n'
}

# Print the address of the portal $1, without a port.
iscsi_host() {
    case $1 in
        '['*) host=${1#[} && printf '%s\n' "${host%%]*}" ;;
        *:*:*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "${1%:*}" ;;
    esac
}

# Have open-iscsi in the bundle, and what it reads: nodes with other roots do not keep it in memory.
iscsi_programs() {
    modprobe -a iscsi_tcp sd_mod || return 1
    [ ! -e "$BUNDLE/usr/sbin/@iscsid" ] || return 0
    (cd / && xargs tar -c -h -f - < /usr/lib/openqrm/iscsi.files) | tar -x -f - -C "$BUNDLE" || return 1
    mkdir -p "$BUNDLE/run/lock/iscsi" "$BUNDLE/etc/iscsi"
    echo 'root:x:0:0:root:/:/bin/sh' > "$BUNDLE/etc/passwd" # iscsid obeys a user of this name only
    mount -t sysfs sysfs "$BUNDLE/sys" && mount -t proc proc "$BUNDLE/proc" || return 1
    mv "$BUNDLE/usr/sbin/iscsid" "$BUNDLE/usr/sbin/@iscsid"
}

# Start iscsid, unless it runs.
iscsi_daemon() {
    printf 'InitiatorName=%s\n' "$OPENQRM_PARAM_INITIATOR" > "$BUNDLE/etc/iscsi/initiatorname.iscsi"
    iscsi_settings || return 1
    ! iscsi_answers || return 0
    PATH=/usr/sbin:$PATH chroot "$BUNDLE" @iscsid --foreground > /dev/null 2>&1 < /dev/null &
    tries=50
    until iscsi_answers; do
        [ "$tries" -gt 0 ] || { echo "iscsid does not start"; return 1; }
        sleep 0.2
        tries=$((tries - 1))
    done
}

# Whether iscsid has its socket, which has a name and no file.
iscsi_answers() {
    grep -q '@ISCSIADM_ABSTRACT_NAMESPACE' /proc/net/unix
}

# Write the settings that new sessions get. I/O waits for a session that is being made again, however long that takes; where there are
# several, that is what multipath does, and one that is away is left after some seconds and tried for without end, also at first.
# The secret is in this file only, and its place goes with the machine's memory.
iscsi_settings() {
    replacement_s=-1
    [ -z "$PATHS" ] || replacement_s=5
    (
        umask 077
        {
            printf 'node.startup = manual\nnode.session.timeo.replacement_timeout = %s\n' "$replacement_s"
            [ -z "$PATHS" ] || printf 'node.session.initial_login_retry_max = 10000000\n'
            printf 'node.conn[0].timeo.%s\n' 'noop_out_interval = 5' 'noop_out_timeout = 5' 'login_timeout = 10'
            if [ -n "${OPENQRM_SECRET:-}" ]; then
                printf 'node.session.auth.%s\n' 'authmethod = CHAP' "username = $OPENQRM_PARAM_INITIATOR" "password = $OPENQRM_SECRET"
            fi
        } > "$BUNDLE/etc/iscsi/iscsid.conf"
    )
}

# Log in to the target: have that tried through all paths, or done through the first portal that answers. What open-iscsi remembers of an
# earlier try has older settings.
iscsi_login() {
    [ -z "$(iscsi_sessions)" ] || return 0
    rm -rf "$BUNDLE/etc/iscsi/nodes/$OPENQRM_PARAM_TARGET"
    if [ -n "$PATHS" ]; then
        for portal in $PATHS; do
            { iscsi_admin "$portal" --op new && iscsi_admin "$portal" --login --no_wait; } || echo "cannot try $portal"
        done
        return 0
    fi
    for portal in $(iscsi_portals); do
        iscsi_admin "$portal" --op new && iscsi_admin "$portal" --login && return 0
    done
    echo "no portal of $OPENQRM_PARAM_TARGET let this machine in ($OPENQRM_PARAM_PORTALS)"
    return 1
}

iscsi_admin() {
    portal=$1
    shift
    timeout -s KILL 25 chroot "$BUNDLE" /usr/sbin/iscsiadm --mode node --targetname "$OPENQRM_PARAM_TARGET" --portal "$portal" "$@"
}

# Print the kernel's sessions with the target.
iscsi_sessions() {
    grep -lxF "$OPENQRM_PARAM_TARGET" /sys/class/iscsi_session/session*/targetname 2> /dev/null | sed 's,/targetname$,,'
}

# Print the device of the volume: the first of its disks.
iscsi_device() {
    for session in $(iscsi_sessions); do
        iscsi_disk "$session" && return 0
    done
    return 1
}

# Print the disk of a session, which is the only one of its target: number 0 of LIO, number 1 of tgt, whose number 0 is no disk.
iscsi_disk() {
    for block in "$1"/device/target*/*:*/block/*; do
        [ -e "$block" ] && printf '/dev/%s\n' "${block##*/}" && return 0
    done
    return 1
}

# Have the bundle wait for the paths that are not there yet, once for each target.
iscsi_watch() {
    watch=$BUNDLE/run/paths-$OPENQRM_PARAM_TARGET.pid
    if [ -s "$watch" ] && kill -0 "$(cat "$watch")" 2> /dev/null; then
        return 0
    fi
    PATHS=$PATHS OPENQRM_BUNDLE=/ chroot "$BUNDLE" /bin/busybox sh /usr/lib/openqrm/run-hook.sh iscsi_late_paths > /dev/null 2>&1 < /dev/null &
    echo "$!" > "$watch"
}

# Look for the disks of sessions until each path has its own: iscsid does so where it gets in at once, and not when that takes it several tries.
iscsi_late_paths() {
    wanted=$(printf '%s\n' "$PATHS" | grep -c .)
    while sleep 5; do
        found=0
        for session in $(iscsi_sessions); do
            if iscsi_disk "$session" > /dev/null; then
                found=$((found + 1))
            elif [ "$(cat "$session/state")" = LOGGED_IN ]; then
                for scan in "$session"/device/../scsi_host/host*/scan; do
                    echo '- - -' > "$scan"
                done
            fi
        done
        [ "$found" -lt "$wanted" ] || return 0
    done
}
