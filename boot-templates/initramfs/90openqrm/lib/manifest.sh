# shellcheck shell=sh
# The boot tree as a node reads it: manifests and blobs, over HTTPS, blobs by digest. Needs common.sh, $OQ_BOOT, $OQ_MAC.

# Fetch the blob $1 (its SHA-256) into the file $2, below /run/openqrm, unless it is there already.
oq_fetch_blob() {
    oq_is_digest "$1" || { echo "the manifest names no valid digest: '$1'"; return 1; }
    for _attempt in 1 2 3 4 5; do
        if [ -f "$2" ] && [ "$(oq_sha256 "$2")" = "$1" ]; then
            return 0
        fi
        rm -f "$2"
        if oq_curl --fail --max-time 900 --output "$2.part" "$OQ_BOOT/blobs/$1"; then
            mv "$2.part" "$2"
        else
            oq_pause 1 4
        fi
    done
    if [ -f "$2" ] && [ "$(oq_sha256 "$2")" = "$1" ]; then
        return 0
    fi
    [ ! -f "$2" ] || echo "the file at $OQ_BOOT/blobs/$1 has the digest $(oq_sha256 "$2")"
    rm -f "$2"
    echo "cannot fetch $OQ_BOOT/blobs/$1"
    return 1
}

# Fetch the manifest of this node, or the default one where it has none, into $OQ/manifest.json; read it into OQM_* variables.
oq_fetch_manifest() {
    _found=0
    for _name in "$OQ_MAC" default; do
        _status=$(oq_curl --max-time 20 --output "$OQ/manifest.new" --write-out '%{http_code}' "$OQ_BOOT/manifests/$_name.json" \
            2> "$OQ/curl.error") || _status=000
        [ "$_status" = 200 ] && _found=1 && break
        [ "$_status" = 404 ] || break
    done
    if [ "$_found" = 0 ]; then
        echo "cannot read $OQ_BOOT/manifests/$_name.json: HTTP status $_status $(cat "$OQ/curl.error")"
        return 1
    fi
    oq_read_manifest "$OQ/manifest.new" || return 1
    mv "$OQ/manifest.new" "$OQ/manifest.json"
    oq_sha256 "$OQ/manifest.json" > "$OQ/manifest.sha256"
}

# Read the manifest in the file $1 into OQM_* variables, which are kept in $OQ/manifest.vars for the agent.
oq_read_manifest() {
    oq_jq -r "$OQ_MANIFEST_FILTER" "$1" > "$OQ/manifest.vars.new" || { echo "the manifest is not valid"; return 1; }
    mv "$OQ/manifest.vars.new" "$OQ/manifest.vars"
    # shellcheck source=/dev/null
    . "$OQ/manifest.vars"
}

# Every value is quoted for the shell by jq; numbers and names that reach a path are checked here.
# shellcheck disable=SC2016 # jq's syntax, not the shell's
OQ_MANIFEST_FILTER='
def text: if . == null then "" else tostring end;
def lines: [.[]? | text | gsub("[\n\r]"; " ")] | join("\n");
def digest: text | if . == "" or test("^[0-9a-f]{64}$") then . else error("no digest: " + .) end;
def number: . // 0 | if type == "number" then floor else error("no number: " + tostring) end;
def word: text | if test("^[A-Za-z0-9._~+-]*$") then . else error("no name: " + .) end;
if .version != 1 then error("version \(.version) of the manifest is not known to this initramfs") else . end
| if .mode != "idle" and .mode != "assigned" then error("mode \(.mode) of the manifest is not known") else . end
| @sh "OQM_MODE=\(.mode)",
  @sh "OQM_RESOURCE=\(.resource | word)",
  @sh "OQM_KERNEL=\(.kernel.vmlinuz | digest)",
  @sh "OQM_KERNEL_VERSION=\(.kernel.version | word)",
  @sh "OQM_MODULES=\(.kernel.modules | digest)",
  @sh "OQM_AGENT=\(.agent.digest | digest)",
  @sh "OQM_INTERVAL=\(.agent.interval_s // 10 | number)",
  @sh "OQM_APPLIANCE=\(.appliance | word)",
  @sh "OQM_MEMBER=\(.member | number)",
  @sh "OQM_EPOCH=\(.epoch | number)",
  @sh "OQM_HOSTNAME=\(.hostname | word)",
  @sh "OQM_METHOD=\(.deployment.method | word)",
  @sh "OQM_HOOK=\(.deployment.hook | digest)",
  @sh "OQM_ROOT_MODE=\(.root_mode | word)",
  @sh "OQM_NETWORKS=\([.networks[]? | "\(.mac | ascii_downcase) \(.role) \(.address)"] | lines)",
  @sh "OQM_FSTAB=\(.fstab | lines)",
  @sh "OQM_HOSTS=\(.hosts | lines)",
  @sh "OQM_PARAMETERS=\([.deployment.parameters // {} | to_entries[]
    | select(.key | test("^[a-z][a-z0-9_]*$"))
    | "export OPENQRM_PARAM_\(.key | ascii_upcase)=" + (.value | text | @sh)] | join("\n"))"
'
