# shellcheck shell=sh
# Another kernel without a pass through the firmware. Needs common.sh, manifest.sh; the manifest was read.

# Whether the kernel that runs is the one of the manifest.
oq_same_kernel() {
    [ "$(cat "$OQ/kernel")" = "$OQM_KERNEL" ]
}

# Whether it also runs with the arguments of the manifest.
oq_same_arguments() {
    case " $(cat "${OQ_PROC:-/proc}/cmdline") " in *" $OQM_ARGUMENTS "*) return 0 ;; esac
    [ -z "$OQM_ARGUMENTS" ]
}

# Fetch the manifest's kernel and initramfs by digest and load them. Under Secure Boot the kernel's signature is checked.
oq_load_kernel() {
    if [ -z "$OQM_INITRAMFS" ] || [ -z "$OQM_ARGUMENTS" ]; then
        echo "the manifest does not say how kernel $OQM_KERNEL_VERSION is started"
        return 1
    fi
    oq_fetch_blob "$OQM_KERNEL" "$OQ/vmlinuz" || return 1
    oq_fetch_blob "$OQM_INITRAMFS" "$OQ/initramfs" || return 1
    kexec --kexec-syscall-auto --load "$OQ/vmlinuz" --initrd="$OQ/initramfs" \
        --command-line="BOOTIF=01-$OQ_MAC $OQM_ARGUMENTS"
}

# Start the manifest's kernel by kexec, or where that is not possible by a reboot. Does not return.
oq_change_kernel() {
    oq_say "appliance $OQM_APPLIANCE needs kernel $OQM_KERNEL_VERSION"
    if oq_step kexec oq_load_kernel; then
        oq_say "starting kernel $OQM_KERNEL_VERSION by kexec"
        sync
        kexec --exec
        oq_say "kexec did not start it"
    fi
    oq_say "rebooting into kernel $OQM_KERNEL_VERSION"
    oq_reboot
}
