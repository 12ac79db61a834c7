# containerd's checkpoints through our shim: written by ctr from a container that runs on or ends, and
# restored from.
set -eu
. /payload/machine/assertions
trap 'code=$?; [ $code = 0 ] || { tail -n 40 /tmp/containerd.log; cat /tmp/events; cat $(find /run /tmp -name dump.log -o -name restore.log) | grep Error; }; exit $code' EXIT
ctr() { /payload/containerd/ctr -n test "$@"; }
status() { ctr task ls | sed -n "s/^$1 .* //p"; }
count() { cat /tmp/data/n 2>/dev/null || echo 0; }
# What the last event of an end says: it comes some time after the end.
exit_told() { grep -F /tasks/exit /tmp/events | tail -n 1 | sed 's/.*"exit_status":\([0-9]*\).*/\1/'; }
# Waits until it has counted further than $1.
counts() { until [ "$(count)" -gt "$1" ]; do sleep 0.1; done; }

/payload/containerd/containerd --log-level warn >/tmp/containerd.log 2>&1 &
until_is containerd up sh -c '/payload/containerd/ctr version >/dev/null && echo up'
ctr image import /payload/image.tar >/dev/null
ctr events >/tmp/events 2>&1 &
mkdir /tmp/data
count='i=0; while ! test -e /data/end; do i=$((i+1)); echo line $i; echo $i > /data/new; busybox mv /data/new /data/n; echo $i > /own; sleep 0.3; done; exit 7'
# Older ones pass a checkpoint's options on to what bears this name only.
ln -s containerd-shim-gantry-v2 /payload/gantry/containerd-shim-runc-v2
ctr run -d --runtime io.containerd.runc.v2 --log-uri file:///tmp/out \
    --mount type=bind,src=/tmp/data,dst=/data,options=rbind:rw $IMAGE one sh -c "$count"
counts 2

# It runs on, and so it does after one that fails.
ctr container checkpoint --rw --image --task one kept
expect "after a checkpoint" "$(status one)" RUNNING
at=$(count)
counts $at
has event "$(grep -F /tasks/checkpointed /tmp/events)" '"container_id":"one"'
expect log "$(ls /run/containerd/io.containerd.runtime.v2.task/test/one | grep criu || true)" ""
mv /payload/criu/bin/criu /payload/criu/bin/away
has "without criu" "$(ctr task checkpoint one 2>&1 || true)" "criu, which is not installed"
mv /payload/criu/bin/away /payload/criu/bin/criu
expect "after a failed one" "$(status one)" RUNNING
counts $(count)

# It ends with one.
ctr task checkpoint --exit --image-path /tmp/image --work-path /tmp/work one
until_is "after one with an end" STOPPED status one
test -e /tmp/work/dump.log
expect state "$(ls /run/gantry-runtime/test /run/containerd/gantry/test 2>/dev/null | grep -x one || true)" ""
expect cgroup "$(find /sys/fs/cgroup -name one)" ""
until_is exit 137 exit_told
ctr task delete one || true
ctr container delete one

# The first one is gone back to: memory and files are of that time.
mv /tmp/data/n /tmp/data/before
ctr container restore --rw --live one kept </dev/null >/tmp/restored 2>&1
expect restored "$(status one)" RUNNING
counts 0
next=$(count)
[ $next -gt 2 ] && [ $next -le $(cat /tmp/data/before) ] || { echo "goes on at $next"; exit 1; }
created=$(grep -F /tasks/create /tmp/events | tail -n 1)
has created "$created" '"checkpoint":"/'
has started "$(grep -F /tasks/start /tmp/events | tail -n 1)" '"container_id":"one"'
expect inside "$(ctr task exec --exec-id e one cat /proc/1/comm)" sh
expect own "$(ctr task exec --exec-id f one test -s /own && echo there)" there
counts $next
ctr task pause one
expect paused "$(status one)" PAUSED
# Of a restored one, too; it stays paused.
ctr task checkpoint --image-path /tmp/again one
expect "paused still" "$(status one)" PAUSED
at=$(count)
ctr task resume one
counts $at
touch /tmp/data/end
until_is "its own end" STOPPED status one
until_is code 7 exit_told
ctr task delete one || true
ctr container delete one

# One that cannot be restored is not started, and can be removed.
mv /payload/criu/bin/criu /payload/criu/bin/away
has refused "$(ctr container restore --rw --live one kept 2>&1 </dev/null || true)" "criu, which is not installed"
expect "not restored" "$(status one)" CREATED
has "no process" "$(ctr task exec --exec-id g one true 2>&1 || true)" "cannot exec in a created process"
ctr task delete -f one || true
ctr container delete one
expect left "$(ctr task ls -q)" ""
expect groups "$(find /sys/fs/cgroup -name one)" ""
until_is shims "" sh -c 'cat /proc/[0-9]*/comm 2>/dev/null | grep ^containerd-shim || true'
expect mounts "$(grep -c 'containerd/io.containerd.runtime' /proc/self/mountinfo || true)" 0
echo "to the end"
