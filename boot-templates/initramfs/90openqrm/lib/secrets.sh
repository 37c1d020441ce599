# shellcheck shell=sh
# What the node must know of its assignment and nobody else may: over the node API, with the node's own token, never in the boot
# tree. Needs common.sh and api.sh. A node whose manager is down boots with what its root has from an earlier boot.

# Ask for the secrets in the background, while the root is mounted. In a take-over in place they come with a token that is bound to the
# assignment; a registration gives one that is.
oq_prefetch_secrets() {
    rm -f "$OQ/secrets.over" "$OQ/secrets.json"
    (
        OQ_ANSWER=$OQ/answer.secrets
        oq_wait_file registration.over 10 "${OQ_REGISTERING:-}"
        if [ ! -s "$OQ/token" ]; then
            echo 'this machine could not register'
        elif [ -n "${OQO_ID:-}" ]; then
            { oq_call POST 'token?secrets=true' && oq_keep_secrets '.secrets // empty' "$OQ_ANSWER" && oq_keep_token; } ||
                echo "the token is not bound to this assignment: $(oq_call_problem)"
        elif oq_call GET secrets '' 5; then
            oq_keep_secrets . "$OQ_ANSWER"
        else
            oq_call_problem
        fi > "$OQ/secrets.problem"
        rm -f "$OQ_ANSWER"
        : > "$OQ/secrets.over"
    ) > /dev/null 2>&1 < /dev/null &
    OQ_ASKING=$!
}

# Keep what the answer in the file $2 has at the place $1 (for jq), for this machine's eyes only.
oq_keep_secrets() {
    (umask 077 && oq_jq -c "$1" "$2" > "$OQ/secrets.json")
}

# Have the secret of the root's grant in OQ_GRANT, where the deployment wants one: its hook reads it as $OPENQRM_SECRET. Without one the
# hook tries nevertheless: the storage server may be set up to want none.
oq_grant_secret() {
    OQ_GRANT=''
    [ "${OQM_SECRET:-}" = true ] || return 0
    oq_wait_file secrets.over 15 "${OQ_ASKING:-}"
    [ ! -s "$OQ/secrets.json" ] || OQ_GRANT=$(oq_jq -r '.grant // ""' "$OQ/secrets.json")
    [ -n "$OQ_GRANT" ] || echo "no secret for the storage server: $(cat "$OQ/secrets.problem")"
}

# Give the new root the SSH host key of this member, so that clients who were told of it need not accept one blindly.
oq_secrets() {
    oq_wait_file secrets.over 15 "${OQ_ASKING:-}"
    if [ ! -s "$OQ/secrets.json" ]; then
        oq_say "no secrets: $(cat "$OQ/secrets.problem"); the root keeps what it has"
        [ ! -s "$OQ/token" ] || oq_event warning secrets "no secrets: $(cat "$OQ/secrets.problem")"
        return 0
    fi
    if [ -d "$NEWROOT/etc/ssh" ]; then
        oq_host_key "$NEWROOT/etc/ssh/ssh_host_ed25519_key"
    fi
    rm -f "$OQ/secrets.json"
}

# Write the host key of the secrets to the file $1, if there is one.
oq_host_key() {
    (umask 077 && oq_jq -j '.ssh_host_key // ""' "$OQ/secrets.json" > "$1.openqrm")
    if [ -s "$1.openqrm" ]; then
        mv "$1.openqrm" "$1" && rm -f "$1.pub"
    else
        rm -f "$1.openqrm"
    fi
}

# Wait up to $2 seconds for the file $1, if the process $3 in the background is to make it.
oq_wait_file() {
    _tries=$(($2 * 10))
    while [ -n "$3" ] && [ ! -e "$OQ/$1" ] && [ "$_tries" -gt 0 ]; do
        sleep 0.1
        _tries=$((_tries - 1))
    done
}
