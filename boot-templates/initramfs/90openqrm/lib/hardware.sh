# shellcheck shell=sh
# What the machine is made of, as JSON for the registration. Needs common.sh and network.sh. $OQ_SYS and $OQ_PROC are set by tests.

# Print a file's first line without blanks at its ends, or nothing.
oq_line() {
    sed -n '1{s/^[[:space:]]*//;s/[[:space:]]*$//;p;}' "$1" 2> /dev/null
}

# Print the memory in MiB: the sum of the modules that the firmware lists, else what the kernel can use.
oq_memory_mib() {
    _installed=$(timeout 10 dmidecode -t 17 2> /dev/null | awk '
        $1 == "Size:" && $3 == "kB" { sum += $2 / 1024 }
        $1 == "Size:" && $3 == "MB" { sum += $2 }
        $1 == "Size:" && $3 == "GB" { sum += $2 * 1024 }
        $1 == "Size:" && $3 == "TB" { sum += $2 * 1048576 }
        END { print int(sum) }')
    if [ "${_installed:-0}" -gt 0 ]; then
        printf '%s\n' "$_installed"
    else
        awk '/^MemTotal:/ { print int($2 / 1024) }' "${OQ_PROC:-/proc}/meminfo"
    fi
}

# Print the disks, one a line: name, sectors, model, between tabs. Not: removable media, memory and loop devices.
oq_disks() {
    for _disk in "${OQ_SYS:-/sys}"/block/*; do
        if [ ! -e "$_disk/device" ] || [ "$(oq_line "$_disk/removable")" != 0 ]; then
            continue
        fi
        case ${_disk##*/} in sr* | fd* | loop* | ram* | zram*) continue ;; esac
        printf '%s\t%s\t%s\n' "${_disk##*/}" "$(oq_line "$_disk/size")" "$(oq_line "$_disk/device/model")"
    done
}

# Print the NICs, one a line: name, MAC, driver, link (1: up), speed in Mbit/s (nothing: unknown), between tabs.
oq_nics() {
    for _nic in "${OQ_SYS:-/sys}"/class/net/*; do
        [ -e "$_nic/device" ] || continue
        _driver=$(readlink "$_nic/device/driver")
        printf '%s\t%s\t%s\t%s\t%s\n' "${_nic##*/}" "$(oq_line "$_nic/address")" "${_driver##*/}" \
            "$(oq_line "$_nic/carrier")" "$(oq_line "$_nic/speed")"
    done
}

# Print the address of the machine's BMC, or nothing.
oq_bmc_address() {
    modprobe -a ipmi_si ipmi_devintf 2> /dev/null
    [ -e /dev/ipmi0 ] && command -v ipmitool > /dev/null || return 0
    timeout 15 ipmitool lan print 2> /dev/null | sed -n 's/^IP Address  *: //p' | sed -n '/^0\.0\.0\.0$/!p'
}

# Bring up every NIC, so that its link can be seen, and write the whole registration to $OQ/hardware.json.
oq_hardware() {
    for _nic in "${OQ_SYS:-/sys}"/class/net/*; do
        [ -e "$_nic/device" ] && ip link set dev "${_nic##*/}" up 2> /dev/null
    done
    _dmi=${OQ_SYS:-/sys}/class/dmi/id
    _firmware=bios
    [ -d "${OQ_SYS:-/sys}/firmware/efi" ] && _firmware=uefi
    oq_jq -cn --arg boot_mac "$OQ_BOOT_MAC" --arg boot_id "$(oq_line "${OQ_PROC:-/proc}/sys/kernel/random/boot_id")" \
        --arg firmware "$_firmware" --arg arch "$(uname -m)" \
        --argjson cores "$(grep -c '^processor' "${OQ_PROC:-/proc}/cpuinfo")" --argjson memory "$(oq_memory_mib)" \
        --arg kernel "$(cat "$OQ/kernel")" --arg vendor "$(oq_line "$_dmi/sys_vendor")" \
        --arg product "$(oq_line "$_dmi/product_name")" --arg serial "$(oq_line "$_dmi/product_serial")" \
        --arg uuid "$(oq_line "$_dmi/product_uuid")" --arg bmc "$(oq_bmc_address)" \
        --arg disks "$(oq_disks)" --arg nics "$(oq_nics)" "$OQ_HARDWARE_FILTER" > "$OQ/hardware.json"
}

# shellcheck disable=SC2016 # jq's syntax, not the shell's
OQ_HARDWARE_FILTER='
def rows(text): text | split("\n") | map(select(. != "") | split("\t"));
def whole: if . == null or . == "" then -1 else tonumber end;
(rows($nics) | map({name: .[0], mac: (.[1] | ascii_downcase), driver: .[2], link: (.[3] == "1"), speed_mbit: (.[4] | whole)})) as $cards
| {macs: ($cards | map(.mac)), boot_mac: $boot_mac, boot_id: $boot_id, firmware: $firmware, arch: $arch, cores: $cores,
   memory_mib: $memory, kernel: $kernel, dmi: {vendor: $vendor, product: $product, serial: $serial, uuid: $uuid},
   disks: (rows($disks) | map({name: .[0], size_mib: ((.[1] | whole) / 2048 | floor), model: .[2]})),
   nics: $cards, bmc: {address: $bmc}}
'
