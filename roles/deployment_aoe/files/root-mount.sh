# shellcheck shell=sh
# Root on a volume over AoE, run in the initramfs. Parameters: shelf, slot (which name the volume), server (an address of the storage
# server: the NIC that leads to it is used, and no other). The kernel asks again for as long as the server does not answer.

mount_root() {
    aoe_discover || return 1
    device=$(oq_wait_device 30 aoe_device) || { echo "no server offers the volume e$OPENQRM_PARAM_SHELF.$OPENQRM_PARAM_SLOT to this machine"; return 1; }
    oq_mount_device "$device"
}

root_fstab_line() {
    oq_device_fstab_line
}

# Have the kernel look for volumes on the NIC that leads to the server. It must not take a volume that does not answer for one that has
# gone: aoe_deadsecs is a year.
aoe_discover() {
    nic=$(ip route get "$OPENQRM_PARAM_SERVER" | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    [ -n "$nic" ] || { echo "no NIC leads to $OPENQRM_PARAM_SERVER"; return 1; }
    modprobe aoe aoe_iflist="$nic" aoe_deadsecs=31536000 || return 1
    echo 31536000 > /sys/module/aoe/parameters/aoe_deadsecs
    ip link set dev "$nic" up
}

# Print the device of the volume. The server may not have heard the first question, so it is asked again.
aoe_device() {
    echo discover > /dev/etherd/discover
    [ -b "/dev/etherd/e$OPENQRM_PARAM_SHELF.$OPENQRM_PARAM_SLOT" ] && printf '/dev/etherd/e%s.%s\n' "$OPENQRM_PARAM_SHELF" "$OPENQRM_PARAM_SLOT"
}
