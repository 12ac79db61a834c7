# What scripts find out whether all is as it should be with; each ends the script when it is not.

# expect WHAT FOUND WANTED
expect() { [ "$2" = "$3" ] || { echo "$1: $2, not $3"; exit 1; }; }
# has WHAT TEXT PART
has() { echo "$2" | grep -qF -- "$3" || { echo "$1: no $3 in $2"; exit 1; }; }
# until_is WHAT WANTED COMMAND…: waits for what a command prints.
until_is() {
    what=$1 wanted=$2
    shift 2
    for _ in $(seq 600); do
        [ "$("$@" 2>&1)" = "$wanted" ] && return
        sleep 0.1
    done
    echo "$what: $("$@" 2>&1), not $wanted"
    exit 1
}
