#!/bin/busybox sh
# shellcheck shell=dash disable=SC2034 # variables are shared between the files
# What a node does between its kernel and the init of an appliance. Ends when a root is mounted and ready, never else.
set -u
OQ_LIBRARY=/usr/lib/openqrm
for file in common api manifest network hardware root layers copy ram transfer secrets kexec disk disk-deploy disk-grab idle; do
    # shellcheck source=/dev/null
    . "$OQ_LIBRARY/$file.sh"
done

# Put the bundle (see common.sh) and the state directory in place, once.
oq_bundle() {
    [ ! -s "$OQ_BUNDLE/usr/lib/openqrm/common.sh" ] || return 0
    mkdir -p "$OQ_BUNDLE"
    mount -t tmpfs -o mode=0755,nosuid tmpfs "$OQ_BUNDLE" || return 1
    (cd / && xargs tar -c -h -f - < "$OQ_LIBRARY/bundle.list") | tar -x -f - -C "$OQ_BUNDLE" || return 1
    mkdir -p "$OQ_BUNDLE/bin" "$OQ_BUNDLE/dev" "$OQ_BUNDLE/etc" "$OQ_BUNDLE/proc" "$OQ_BUNDLE/sys" "$OQ_BUNDLE/tmp"
    [ -e "$OQ_BUNDLE/bin/busybox" ] || ln "$OQ_BUNDLE/usr/bin/busybox" "$OQ_BUNDLE/bin/busybox"
    mknod -m 0666 "$OQ_BUNDLE/dev/null" c 1 3 && mknod -m 0666 "$OQ_BUNDLE/dev/urandom" c 1 9
    mkdir -p "$OQ_BUNDLE/run/openqrm" && chmod 0700 "$OQ_BUNDLE/run/openqrm"
    ln -sfn initramfs/run/openqrm "$OQ"
    umask 022
}

# Set a clock that is behind the build of this initramfs: no certificate would be valid.
oq_clock() {
    read -r _built < /etc/openqrm/built
    [ "$(date +%s)" -ge "$_built" ] || date -s "@$_built" > /dev/null
}

# Run a step: oq_step NAME FUNCTION. On failure its last words are on the console, in an event, and in OQ_PROBLEM.
oq_step() {
    OQ_STEP=$1
    oq_say "$OQ_STEP"
    if "$2" > "$OQ/step.log" 2>&1; then
        return 0
    fi
    OQ_PROBLEM=$(tail -n 5 "$OQ/step.log" | tr '\n' ' ' | head -c 1000)
    oq_say "$OQ_STEP failed: $OQ_PROBLEM"
    if [ "$OQ_STEP: $OQ_PROBLEM" != "${OQ_REPORTED:-}" ]; then
        OQ_REPORTED="$OQ_STEP: $OQ_PROBLEM"
        oq_event error "$OQ_STEP" "$OQ_PROBLEM"
    fi
    return 1
}

# Everything from the manifest to a root that is ready. Nothing in it needs the manager, only the boot tree and the storage.
oq_take_over() {
    oq_screen "taking over appliance $OQM_APPLIANCE, member $OQM_MEMBER"
    oq_prefetch_secrets
    if oq_step networks oq_networks && oq_step root_hook oq_fetch_hook && oq_step mount_root oq_mount_root &&
        oq_step transfer oq_transfer && oq_step system oq_check_system &&
        oq_step private oq_private &&
        oq_step modules oq_modules && oq_step fstab oq_fstab && oq_step system_files oq_system_files &&
        oq_step secrets oq_secrets &&
        oq_step keep_network oq_keep_network && oq_step shutdown oq_shutdown && oq_step boot_services oq_boot_services &&
        oq_step agent oq_install_agent; then
        return 0
    fi
    oq_unmount_root > /dev/null 2>&1
    return 1
}

# The manifest said "assigned" at boot: boot the appliance; the manager is told in the background, if it is there.
oq_boot_assigned() {
    if ! oq_same_kernel; then
        # The manager is to hear of it: a start that waits for this machine then goes on with another one.
        [ -s "$OQ/token" ] || { oq_hardware && oq_register deployed; } > /dev/null 2>&1
        oq_step kernel oq_wrong_kernel
        oq_pause 10 30
        oq_reboot
    fi
    if [ ! -s "$OQ/token" ]; then
        (
            OQ_ANSWER=$OQ/answer.register
            [ -s "$OQ/hardware.json" ] || oq_hardware
            oq_register deployed
            : > "$OQ/registration.over"
        ) > /dev/null 2>&1 < /dev/null &
        OQ_REGISTERING=$!
    fi
    oq_prefetch
    oq_take_over
}

oq_wrong_kernel() {
    echo "booted kernel $(cat "$OQ/kernel"), but the manifest says $OQM_KERNEL: the boot entry is out of date"
    return 1
}

# Tell the manager that init starts now; without a token the agent registers later.
oq_announce() {
    [ -s "$OQ/token" ] || sleep 1
    [ -z "${OQ_REGISTERING:-}" ] || kill "$OQ_REGISTERING" 2> /dev/null
    [ ! -s "$OQ/token" ] || oq_report_init
    oq_say "starting init of $OQM_APPLIANCE, member $OQM_MEMBER, epoch $OQM_EPOCH"
}

oq_main() {
    if ! oq_bundle; then
        oq_consoles "openqrm: cannot put the bundle into memory; is it too small?"
        exit 1
    fi
    oq_clock
    OQ_BOOT=$(oq_argument openqrm.boot)
    OQ_API=$(oq_argument openqrm.api)
    oq_argument openqrm.kernel > "$OQ/kernel"
    : > "$OQ/manifest.sha256"
    until oq_step network oq_boot_network; do
        oq_pause 3 10
    done
    oq_say "address $(oq_lease address) on $OQ_INTERFACE"
    while :; do
        if oq_step manifest oq_fetch_manifest; then
            case $OQM_MODE in
                idle | disk) oq_idle && break ;;
                assigned) oq_boot_assigned && break ;;
            esac
        fi
        oq_pause 2 8
    done
    oq_announce
}

oq_main
