# shellcheck shell=sh
# Root on a volume over NVMe/TCP, run in the initramfs and at the end of a shutdown. Parameters: subsystem (its name), addresses (of
# the server; each is connected, and the kernel uses what works), port, host (this machine's name). $OPENQRM_SECRET: for
# DH-HMAC-CHAP, if any. The kernel keeps the connections and makes them again, for as long as the system runs.

mount_root() {
    modprobe nvme-tcp && nvme_connect || return 1
    device=$(oq_wait_device 30 nvme_device) || { echo "the volume of $OPENQRM_PARAM_SUBSYSTEM does not appear"; return 1; }
    oq_mount_device "$device"
}

root_fstab_line() {
    oq_device_fstab_line
}

# End all connections, when nothing is mounted any more.
release_root() {
    for controller in /sys/class/nvme/nvme*; do
        [ "$(cat "$controller/transport")" != tcp ] || echo 1 > "$controller/delete_controller"
    done
}

# Connect every address that is not connected; one that works is enough.
nvme_connect() {
    connected=0
    for address in $(printf '%s' "$OPENQRM_PARAM_ADDRESSES" | tr ',' ' '); do
        if nvme_is_connected "$address" || nvme_options "$address" > /dev/nvme-fabrics; then
            connected=1
        else
            echo "$address does not let this machine in: $(dmesg | grep nvme | tail -n 2 | tr '\n' ' ')"
        fi
    done
    [ "$connected" = 1 ]
}

# Whether there is a controller for the address $1 and the subsystem already.
nvme_is_connected() {
    for controller in /sys/class/nvme/nvme*; do
        [ "$(cat "$controller/subsysnqn" 2> /dev/null)" = "$OPENQRM_PARAM_SUBSYSTEM" ] || continue
        case $(cat "$controller/address"), in *"traddr=$1,"*) return 0 ;; esac
    done
    return 1
}

# Print what the kernel is told, in one piece. The host's id follows from its name; I/O waits for a lost connection without end.
nvme_options() {
    secret=
    if [ -n "${OPENQRM_SECRET:-}" ] && grep -q dhchap_secret /dev/nvme-fabrics; then
        secret=,dhchap_secret=$(nvme_key "$OPENQRM_SECRET")
    fi
    printf 'transport=tcp,traddr=%s,trsvcid=%s,nqn=%s,hostnqn=%s,hostid=%s,ctrl_loss_tmo=-1,reconnect_delay=2%s' "$1" "$OPENQRM_PARAM_PORT" \
        "$OPENQRM_PARAM_SUBSYSTEM" "$OPENQRM_PARAM_HOST" "$(nvme_host_id "$OPENQRM_PARAM_HOST")" "$secret"
}

nvme_host_id() {
    printf '%s' "$1" | sha256sum | sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)\(.\{12\}\).*/\1-\2-\3-\4-\5/'
}

# Print the key of a secret, as the server makes it: its SHA-256 in hexadecimal digits and their CRC-32, which gzip's trailer begins with.
nvme_key() {
    digits=$(printf '%s' "$1" | sha256sum | cut -c 1-64)
    printf 'DHHC-1:00:%s:' "$({ printf '%s' "$digits"; printf '%s' "$digits" | gzip -c | tail -c 8 | head -c 4; } | base64 -w 0)"
}

# Print the device of the volume, which is number 1 of its subsystem.
nvme_device() {
    for name in /sys/class/nvme-subsystem/*/subsysnqn /sys/class/nvme/nvme*/subsysnqn; do
        [ "$(cat "$name" 2> /dev/null)" = "$OPENQRM_PARAM_SUBSYSTEM" ] || continue
        for block in "${name%/subsysnqn}"/nvme*n*; do
            [ -e "$block/dev" ] && [ -b "/dev/${block##*/}" ] && printf '/dev/%s\n' "${block##*/}" && return 0
        done
    done
    return 1
}
