# shellcheck shell=sh disable=SC2016,SC2034,SC2154 # jq's $names; variables that are shared between the files, or set by eval
# The node API: registration, orders, events, heartbeat. Needs common.sh, $OQ_API, and the state below $OQ.

# Call the node API: oq_call METHOD PATH [BODY-FILE [SECONDS]]. The answer is in $OQ_ANSWER, the status in $OQ_STATUS (000: none).
oq_call() {
    rm -f "$OQ_ANSWER"
    OQ_STATUS=$(oq_call_config "$@" |
        oq_curl --output "$OQ_ANSWER" --write-out '%{http_code}' --config - 2> "$OQ/curl.error") || OQ_STATUS=000
    case $OQ_STATUS in 2??) return 0 ;; esac
    return 1
}

# Print the curl configuration of a call. The token goes this way, never through a command line.
oq_call_config() {
    printf 'url = "%s/node/v1/%s"\nrequest = "%s"\nmax-time = %s\n' "$OQ_API" "$2" "$1" "${4:-15}"
    if [ -s "$OQ/token" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$(cat "$OQ/token")"
    fi
    if [ -n "${3:-}" ]; then
        printf 'header = "Content-Type: application/json"\ndata-binary = "@%s"\n' "$3"
    fi
}

# Print why the last call failed, in one line.
oq_call_problem() {
    if [ "$OQ_STATUS" = 000 ]; then
        tr '\n' ' ' < "$OQ/curl.error"
    else
        printf 'HTTP status %s: %s' "$OQ_STATUS" "$(head -c 300 "$OQ_ANSWER" 2> /dev/null | tr '\n' ' ')"
    fi
}

# Register with the hardware in $OQ/hardware.json, as mode $1 (idle or deployed); the token is kept in $OQ/token.
# The claim, a secret of this boot, lets the server tell a registration that is sent again from somebody else's.
oq_register() {
    rm -f "$OQ/token"
    [ -s "$OQ/claim" ] || (umask 077 && od -A n -N 32 -t x1 /dev/urandom | tr -d ' \n' > "$OQ/claim")
    (umask 077 && : > "$OQ/register.json")
    oq_jq -c --arg mode "$1" --arg address "$(oq_lease address | cut -d / -f 1)" --rawfile claim "$OQ/claim" \
        '.mode = $mode | .address = $address | .claim = $claim' "$OQ/hardware.json" > "$OQ/register.json"
    oq_call POST register "$OQ/register.json" || return 1
    oq_keep_token
}

# Keep the token (and at a registration the name, and how often to exchange the token) that the last answer holds.
oq_keep_token() {
    _answer=$(oq_jq -r 'select(.token | test("^[A-Za-z0-9._~+/=-]+$"))
        | @sh "_token=\(.token) _resource=\(.resource // "") _token_s=\(.token_s // 0 | floor) _approved=\(.approved)"' "$OQ_ANSWER")
    rm -f "$OQ_ANSWER"
    [ -n "$_answer" ] || { echo "the server's answer has no valid token" > "$OQ/curl.error"; OQ_STATUS=000; return 1; }
    eval "$_answer"
    OQ_APPROVED=$_approved
    if [ -n "$_resource" ]; then
        OQ_RESOURCE=$_resource
        printf '%s\n' "$_resource" > "$OQ/resource"
        printf '%s\n' "$_token_s" > "$OQ/token.seconds"
    fi
    (umask 077 && printf '%s\n' "$_token" > "$OQ/token.new") && mv "$OQ/token.new" "$OQ/token"
    cut -d . -f 1 /proc/uptime > "$OQ/token.since"
}

# Exchange the token for a new one, which is bound to what this machine is assigned to now.
oq_exchange_token() {
    oq_call POST token && oq_keep_token
}

# Exchange the token when its time has come. One that cannot be exchanged stays; it is tried again as much later.
oq_exchange_old_token() {
    read -r _seconds 2> /dev/null < "$OQ/token.seconds" || return 0
    read -r _since 2> /dev/null < "$OQ/token.since" || return 0
    _now=$(cut -d . -f 1 /proc/uptime)
    [ "$_seconds" -gt 0 ] && [ $((_now - _since)) -ge "$_seconds" ] || return 0
    oq_exchange_token || echo "$_now" > "$OQ/token.since"
}

# Print one value of the DHCP lease: address, interface, router or dns.
oq_lease() {
    sed -n "s/^$1=//p" "$OQ/lease" 2> /dev/null
}

# Send a heartbeat: oq_heartbeat MODE STAGE.
oq_heartbeat() {
    oq_heartbeat_body "$1" "$2"
    oq_call POST heartbeat "$OQ/heartbeat.json" || return 1
    oq_exchange_old_token
    oq_flush_events
}

# Report that init starts now and, where an order led to it, that the order is done. Both over one connection, because that is
# what takes long, and in the background, because init need not wait for it: a report that is lost is made good by the agent's
# first heartbeat. What the background needs of the initramfs is in place before, as init's start removes it.
oq_report_init() {
    oq_heartbeat_body deployed init
    (
        umask 077
        {
            oq_call_config POST heartbeat "$OQ/heartbeat.json" 3
            if [ -n "${OQO_ID:-}" ]; then
                oq_order_body 'done'
                printf 'next\nproto = "=https"\ncacert = "%s"\nconnect-timeout = 3\nfail\n' "$OQ_CA"
                oq_call_config POST "order/$OQO_ID" "$OQ/order.json" 5
            fi
        } > "$OQ/report.curl"
    )
    oq_curl --fail --config "$OQ/report.curl" > /dev/null 2> "$OQ/curl.error" < /dev/null &
}

# Write the heartbeat of mode $1 and stage $2 to $OQ/heartbeat.json.
oq_heartbeat_body() {
    read -r _load1 _load5 _load15 _ < /proc/loadavg
    _free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    printf '{"boot_id":"%s","mode":"%s","stage":"%s","epoch":%s,"manifest":"%s","kernel":"%s",' \
        "$(cat /proc/sys/kernel/random/boot_id)" "$1" "$2" "${OQM_EPOCH:-0}" "$(cat "$OQ/manifest.sha256")" \
        "$(cat "$OQ/kernel")" > "$OQ/heartbeat.json"
    printf '"uptime_s":%s,"load":[%s,%s,%s],"memory_free_mib":%s}\n' \
        "$(cut -d . -f 1 /proc/uptime)" "$_load1" "$_load5" "$_load15" "$_free" >> "$OQ/heartbeat.json"
}

# Report an event: oq_event SEVERITY STEP MESSAGE. Kept (the last 20) and sent later where the server does not answer now.
oq_event() {
    oq_jq -cn --arg severity "$1" --arg step "$2" --arg message "$3" --argjson epoch "${OQM_EPOCH:-0}" \
        '{severity: $severity, step: $step, message: $message, epoch: $epoch}' >> "$OQ/events"
    oq_flush_events
}

# Send the events that wait, the oldest first; stops at the first that cannot be sent.
oq_flush_events() {
    [ -s "$OQ/token" ] || return 0
    while [ -s "$OQ/events" ]; do
        head -n 1 "$OQ/events" > "$OQ/event.json"
        if ! oq_call POST event "$OQ/event.json" 5; then
            case $OQ_STATUS in
                400 | 413 | 422) ;; # the server will never take it
                *) break ;;
            esac
        fi
        sed -i 1d "$OQ/events"
    done
    if [ -s "$OQ/events" ]; then
        tail -n 20 "$OQ/events" > "$OQ/events.new" && mv "$OQ/events.new" "$OQ/events"
    fi
    return 0
}

# Wait up to $1 seconds for an order; sets OQO_ID, OQO_ORDER, OQO_EPOCH, OQO_MANIFEST. False: no order, or no answer (OQ_STATUS).
oq_next_order() {
    OQO_ORDER=''
    oq_call GET "order?wait_s=$1" '' $(($1 + 15)) || return 1
    [ "$OQ_STATUS" = 200 ] || return 1
    _order=$(oq_jq -r '@sh "OQO_ID=\(.id | tostring) OQO_ORDER=\(.order) OQO_EPOCH=\(.epoch // 0) OQO_MANIFEST=\(.manifest // "")"' \
        "$OQ_ANSWER") || return 1
    eval "$_order"
    case $OQO_ID in '' | *[!0-9]*) return 1 ;; esac
}

# Answer the current order: oq_answer_order accepted|done|failed [MESSAGE].
oq_answer_order() {
    oq_order_body "$@"
    oq_call POST "order/$OQO_ID" "$OQ/order.json" 5
}

# Write the answer to an order to $OQ/order.json.
oq_order_body() {
    if [ -n "${2:-}" ]; then
        oq_jq -cn --arg result "$1" --arg message "$2" '{result: $result, message: $message}'
    else
        printf '{"result":"%s","message":""}\n' "$1"
    fi > "$OQ/order.json"
}
