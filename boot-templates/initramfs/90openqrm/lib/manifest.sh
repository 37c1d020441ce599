# shellcheck shell=sh
# The boot tree as a node reads it: manifests and blobs, over HTTPS, blobs by digest. Needs common.sh, $OQ_BOOT, $OQ_MAC.

# Have the blob $1 (its SHA-256) as the file $2, below /run/openqrm. What is in $OQ/blobs was checked when it got there.
oq_fetch_blob() {
    oq_is_digest "$1" || { echo "the manifest names no valid digest: '$1'"; return 1; }
    _blob=$OQ/blobs/$1
    for _attempt in 1 2 3 4 5; do
        if [ -f "$_blob" ]; then
            [ "$_blob" = "$2" ] || ln -f "$_blob" "$2"
            return
        fi
        oq_download "$1" "$_blob" || oq_pause 1 4
    done
    echo "cannot fetch $OQ_BOOT/blobs/$1"
    return 1
}

# Download the blob $1 to $2, which appears there only with the right digest. Nobody else writes to its temporary file.
oq_download() {
    _part=$2.part${OQ_BACKGROUND:-}
    mkdir -p "$OQ/blobs"
    oq_curl --fail --max-time 900 --output "$_part" "$OQ_BOOT/blobs/$1" || return 1
    _digest=$(oq_sha256 "$_part")
    if [ "$_digest" = "$1" ]; then
        mv "$_part" "$2"
    else
        rm -f "$_part"
        echo "the file at $OQ_BOOT/blobs/$1 has the digest $_digest"
        return 1
    fi
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
def unit: text | if test("^[a-z][a-z0-9_-]*$") then . else error("no name: " + .) end;
def path: text | if test("^(/[A-Za-z0-9._+-]+)+$") and (test("/[.]{1,2}(/|$)") | not) then . else error("no path: " + .) end;
def device: text | if . == "" or test("^/dev/([A-Za-z0-9_][A-Za-z0-9_.:+-]*/)*[A-Za-z0-9_][A-Za-z0-9_.:+-]*$") then . else error("no device: " + .) end;
def parameters: [. // {} | to_entries[]
    | select(.key | test("^[a-z][a-z0-9_]*$"))
    | "export OPENQRM_PARAM_\(.key | ascii_upcase)=" + (.value | text | @sh)] | join("\n");
if .version != 1 then error("version \(.version) of the manifest is not known to this initramfs") else . end
| if .mode != "idle" and .mode != "assigned" and .mode != "disk" then error("mode \(.mode) of the manifest is not known") else . end
| @sh "OQM_MODE=\(.mode)",
  @sh "OQM_RESOURCE=\(.resource | word)",
  @sh "OQM_KERNEL=\(.kernel.vmlinuz | digest)",
  @sh "OQM_KERNEL_VERSION=\(.kernel.version | word)",
  @sh "OQM_INITRAMFS=\(.kernel.initramfs | digest)",
  @sh "OQM_ARGUMENTS=\([.kernel.arguments] | lines)",
  @sh "OQM_MODULES=\(.kernel.modules | digest)",
  @sh "OQM_AGENT=\(.agent.digest | digest)",
  @sh "OQM_WANTED=\([.prefetch[]? | digest] | lines)",
  @sh "OQM_INTERVAL=\(.agent.interval_s // 10 | number)",
  @sh "OQM_APPLIANCE=\(.appliance | word)",
  @sh "OQM_MEMBER=\(.member | number)",
  @sh "OQM_EPOCH=\(.epoch | number)",
  @sh "OQM_HOSTNAME=\(.hostname | word)",
  @sh "OQM_METHOD=\(.deployment.method | word)",
  @sh "OQM_HOOK=\(.deployment.hook | digest)",
  @sh "OQM_SECRET=\(.deployment.secret == true)",
  @sh "OQM_ROOT_MODE=\(.root_mode | word)",
  @sh "OQM_MEMORY=\(.memory != null)",
  @sh "OQM_MEMORY_MIB=\(.memory.size_mib | number)",
  @sh "OQM_ARCHIVE=\(.memory.archive.digest | digest)",
  @sh "OQM_ARCHIVE_FORMAT=\(.memory.archive.format | word)",
  @sh "OQM_TRANSFER=\(.transfer.id // "" | if . == "" then "" else number end)",
  @sh "OQM_TRANSFER_DIRECTION=\(.transfer.direction | word)",
  @sh "OQM_TRANSFER_OVERWRITE=\(.transfer.overwrite == true)",
  @sh "OQM_TRANSFER_S=\(.transfer.timeout_s | number)",
  @sh "OQM_TRANSFER_NAME=\(.transfer.name | text)",
  @sh "OQM_TRANSFER_DEVICE=\(.transfer.device | device)",
  @sh "OQM_TRANSFER_ARCHIVE=\(.transfer.archive.digest | digest)",
  @sh "OQM_TRANSFER_FORMAT=\(.transfer.archive.format | word)",
  @sh "OQM_TRANSFER_HOOK=\(.transfer.hook | digest)",
  @sh "OQM_TRANSFER_PARAMETERS=\(.transfer.parameters | parameters)",
  @sh "OQM_OVERLAY_MIB=\(.overlay.size_mib | number)",
  @sh "OQM_PRIVATE_DIRECTORIES=\([.private.directories[]? | path] | lines)",
  @sh "OQM_PRIVATE_EXCLUDES=\([.private.excludes[]? | path] | lines)",
  @sh "OQM_PRIVATE_PARAMETERS=\(.private.parameters | parameters)",
  @sh "OQM_DISK_ACTION=\(.disk.action | word)",
  @sh "OQM_DISK_NAME=\(.disk.name | word)",
  @sh "OQM_DISK_OVERWRITE=\(.disk.overwrite == true)",
  @sh "OQM_DISK_WIPE=\(.disk.wipe | word)",
  @sh "OQM_NETWORKS=\([.networks[]? | "\(.mac | ascii_downcase) \(.role) \(.address)"] | lines)",
  @sh "OQM_FSTAB=\(.fstab | lines)",
  @sh "OQM_HOSTS=\(.hosts | lines)",
  @sh "OQM_SERVICES=\([.boot_services[]? | "\(.name | unit) \(.digest | digest)"] | lines)",
  @sh "OQM_PARAMETERS=\(.deployment.parameters | parameters)"
'
