# shellcheck shell=sh disable=SC2034 # variables are shared between the files
# The node's NICs: the one it booted from by DHCP, others as the manifest says. Needs common.sh.

# Print the value of a kernel argument.
oq_argument() {
    tr ' ' '\n' < "${OQ_CMDLINE:-/proc/cmdline}" | sed -n "s/^$1=//p" | tail -n 1
}

# Print the interface with the MAC address $1 (lower case, colons).
oq_interface() {
    for _address in "${OQ_SYS:-/sys}"/class/net/*/address; do
        _path=${_address%/address}
        if [ -e "$_path/device" ] && [ "$(cat "$_address" 2> /dev/null)" = "$1" ]; then
            printf '%s\n' "${_path##*/}"
            return 0
        fi
    done
    return 1
}

# Print the MAC address of the boot NIC: what the firmware said (BOOTIF), else the first NIC.
oq_boot_mac() {
    _bootif=$(oq_argument BOOTIF | tr 'A-F-' 'a-f:')
    if [ -n "$_bootif" ]; then
        printf '%s\n' "${_bootif#01:}"
        return 0
    fi
    for _address in "${OQ_SYS:-/sys}"/class/net/*/address; do
        [ -e "${_address%/address}/device" ] && cat "$_address" && return 0
    done
    return 1
}

# Wait up to $2 seconds for the NIC with the MAC address $1; print its interface.
oq_wait_interface() {
    _tries=$(($2 * 5))
    while [ "$_tries" -gt 0 ]; do
        oq_interface "$1" && return 0
        sleep 0.2
        _tries=$((_tries - 1))
    done
    echo "no NIC has the MAC address $1; found: $(cat /sys/class/net/*/address 2> /dev/null | tr '\n' ' ')"
    return 1
}

# Start the DHCP client on interface $1 in the bundle, where it outlives the initramfs, unless it runs.
oq_start_dhcp() {
    if [ -s "$OQ/udhcpc.pid" ] && kill -0 "$(cat "$OQ/udhcpc.pid")" 2> /dev/null; then
        return 0
    fi
    ip link set dev "$1" up
    chroot "$OQ_BUNDLE" /bin/busybox udhcpc -f -i "$1" -s /usr/lib/openqrm/udhcpc.sh -t 4 -T 2 -A 5 -S \
        > /dev/null 2>&1 < /dev/null &
    printf '%s\n' "$!" > "$OQ/udhcpc.pid"
}

# Wait up to $1 seconds for a lease.
oq_wait_lease() {
    _tries=$(($1 * 5))
    while [ ! -s "$OQ/lease" ]; do
        [ "$_tries" -gt 0 ] || { echo "no DHCP server answered on $OQ_INTERFACE within $1 s"; return 1; }
        sleep 0.2
        _tries=$((_tries - 1))
    done
}

# Bring up the boot NIC with an address by DHCP.
oq_boot_network() {
    OQ_BOOT_MAC=$(oq_boot_mac) || { echo "this machine has no NIC that the initramfs has a driver for"; return 1; }
    OQ_MAC=$(printf '%s' "$OQ_BOOT_MAC" | tr : -)
    _found=$(oq_wait_interface "$OQ_BOOT_MAC" 60) || { printf '%s\n' "$_found"; return 1; }
    OQ_INTERFACE=$_found
    oq_start_dhcp "$OQ_INTERFACE"
    oq_wait_lease 60
}

# Configure the further NICs that the manifest lists; the boot NIC keeps its lease.
oq_networks() {
    while read -r _mac _role _cidr; do
        case $_mac in '' | "$OQ_BOOT_MAC") continue ;; esac
        _nic=$(oq_wait_interface "$_mac" 10) || { printf '%s network: %s\n' "$_role" "$_nic"; return 1; }
        ip link set dev "$_nic" up && ip addr replace "$_cidr" dev "$_nic" || return 1
        oq_wait_carrier "$_nic" 10 || { echo "$_role network: no link on $_nic ($_mac)"; return 1; }
    done << EOT
$OQM_NETWORKS
EOT
}

# Wait up to $2 seconds for the link of interface $1.
oq_wait_carrier() {
    _tries=$(($2 * 5))
    until [ "$(cat "/sys/class/net/$1/carrier" 2> /dev/null)" = 1 ]; do
        [ "$_tries" -gt 0 ] || return 1
        sleep 0.2
        _tries=$((_tries - 1))
    done
}
