# shellcheck shell=sh
# Root on a volume over iSCSI, run in the initramfs and at the end of a shutdown. Parameters: target (its name), portals (addresses of
# the server, with a port or not; the first that answers is used), initiator (this machine's name). $OPENQRM_SECRET: for CHAP, if any.
#
# iscsid keeps the session, and logs in again after an outage, for as long as the system runs. So it runs in the bundle, which
# outlives the initramfs, and its name begins with '@', which is how systemd knows what a root depends on.
BUNDLE=${OPENQRM_BUNDLE:-/run/initramfs}

mount_root() {
    iscsi_programs && iscsi_daemon && iscsi_login || return 1
    device=$(oq_wait_device 30 iscsi_device) || { echo "the volume of $OPENQRM_PARAM_TARGET does not appear"; return 1; }
    oq_mount_device "$device"
}

root_fstab_line() {
    oq_device_fstab_line
}

# Log out of all targets, when nothing is mounted any more.
release_root() {
    mkdir -p "$BUNDLE/run/lock/iscsi"
    timeout -s KILL 20 chroot "$BUNDLE" /usr/sbin/iscsiadm --mode session --logout
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

# Start iscsid, unless it runs. I/O waits for a session that is being made again, however long that takes.
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

# Write the settings that new sessions get. The secret is in this file only, and its place goes with the machine's memory.
iscsi_settings() {
    (
        umask 077
        {
            printf 'node.startup = manual\nnode.session.timeo.replacement_timeout = -1\n'
            printf 'node.conn[0].timeo.%s\n' 'noop_out_interval = 5' 'noop_out_timeout = 5' 'login_timeout = 10'
            if [ -n "${OPENQRM_SECRET:-}" ]; then
                printf 'node.session.auth.%s\n' 'authmethod = CHAP' "username = $OPENQRM_PARAM_INITIATOR" "password = $OPENQRM_SECRET"
            fi
        } > "$BUNDLE/etc/iscsi/iscsid.conf"
    )
}

# Log in to the target through the first portal that answers. What open-iscsi remembers of an earlier try has older settings.
iscsi_login() {
    [ -z "$(iscsi_sessions)" ] || return 0
    rm -rf "$BUNDLE/etc/iscsi/nodes/$OPENQRM_PARAM_TARGET"
    for portal in $(printf '%s' "$OPENQRM_PARAM_PORTALS" | tr ',' ' '); do
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

# Print the device of the volume, which is the only disk of its target: number 0 of LIO, number 1 of tgt, whose number 0 is no disk.
iscsi_device() {
    for session in $(iscsi_sessions); do
        for block in "$session"/device/target*/*:*/block/*; do
            [ -e "$block" ] && printf '/dev/%s\n' "${block##*/}" && return 0
        done
    done
    return 1
}
