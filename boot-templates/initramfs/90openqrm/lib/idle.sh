# shellcheck shell=sh
# The idle state: registered, heartbeat, waiting for orders. Needs all other files.

# Show what this machine is and does, on every console; only when it changed.
oq_screen() {
    _screen=$(
        printf '\n  openQRM node %s\n' "$(cat "$OQ/resource" 2> /dev/null || echo '(not registered)')"
        printf '  state    %s\n  address  %s on %s (%s)\n' "$1" "$(oq_lease address)" "$OQ_INTERFACE" "$OQ_BOOT_MAC"
        printf '  kernel   %s\n  server   %s\n' "$(uname -r)" "$OQ_API"
    )
    [ "$_screen" != "${OQ_SCREEN:-}" ] || return 0
    OQ_SCREEN=$_screen
    oq_consoles "$(printf '%s\n' "$_screen" | sed "s/\$/$(printf '\r')/")"
}

# Register until the server accepts this machine.
oq_register_idle() {
    until oq_register idle; do
        oq_screen "idle, not registered: $(oq_call_problem)"
        oq_pause 2 8
    done
    oq_say "registered as $OQ_RESOURCE"
}

# Be idle until an order was carried out; true when a root is mounted, false when the manifest is to be read again.
oq_idle() {
    [ -s "$OQ/hardware.json" ] || oq_step hardware oq_hardware || return 1
    oq_prefetch
    [ -s "$OQ/token" ] || oq_register_idle
    while :; do
        if ! oq_heartbeat idle up; then
            oq_idle_problem
            continue
        fi
        if [ "${OQ_APPROVED:-true}" = false ]; then
            oq_screen "held, waiting for approval: openqrm resource approve $OQ_RESOURCE"
            oq_exchange_token || : # which says whether it is approved by now
        else
            oq_screen "idle, waiting for orders"
        fi
        if oq_next_order "$OQM_INTERVAL"; then
            oq_obey && return 0
        elif [ "$OQ_STATUS" != 204 ]; then
            oq_idle_problem
        fi
    done
}

# The server did not take a call: register again when it does not know the token, else wait a little.
oq_idle_problem() {
    case $OQ_STATUS in
        401 | 403) oq_register_idle ;;
        *)
            oq_screen "idle, no answer from the server: $(oq_call_problem)"
            oq_pause 2 8
            ;;
    esac
}

# Carry out an order. True: a root is mounted. False: stay idle.
oq_obey() {
    oq_say "order $OQO_ID: $OQO_ORDER"
    case $OQO_ORDER in
        assign) oq_assign ;;
        reboot | release)
            oq_answer_order accepted
            oq_reboot
            ;;
        poweroff)
            oq_answer_order accepted
            sync
            poweroff -f
            ;;
        *) oq_refuse "this initramfs does not know the order '$OQO_ORDER'" ;;
    esac
}

# Refuse the current order.
oq_refuse() {
    oq_say "order $OQO_ID refused: $1"
    oq_answer_order failed "$1"
    return 1
}

oq_reboot() {
    sync
    reboot -f
    sleep 60
}

# Take over an appliance: in place with the same kernel, by kexec (or a reboot) with another one. A manifest about local disks is
# carried out by the idle system.
oq_assign() {
    oq_step manifest oq_fetch_manifest || { oq_refuse "manifest: $OQ_PROBLEM"; return 1; }
    if [ "$(cat "$OQ/manifest.sha256")" != "$OQO_MANIFEST" ]; then
        oq_refuse "manifest: the order names $OQO_MANIFEST, the boot tree has $(cat "$OQ/manifest.sha256")"
        return 1
    fi
    if [ "$OQM_MODE" = disk ]; then
        oq_disk_order
        return
    fi
    [ "$OQM_MODE" = assigned ] || { oq_refuse "manifest: its mode is $OQM_MODE, not assigned"; return 1; }
    if ! oq_same_kernel || ! oq_same_arguments; then
        oq_answer_order accepted
        oq_change_kernel
    fi
    oq_take_over && return 0
    oq_refuse "$OQ_STEP: $OQ_PROBLEM"
    oq_step manifest oq_fetch_manifest
    return 1
}
