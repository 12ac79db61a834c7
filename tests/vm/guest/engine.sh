# The engine's life in this machine: from a pull to a removal, with what cgroup v2 has to do with.
set -eu
. /payload/machine/assertions
trap 'code=$?; [ $code = 0 ] || tail -n 40 /tmp/gantryd.log /run/gantry/supervisor/supervisor.log; exit $code' EXIT

/payload/docker-registry serve /payload/registry.yml >/tmp/registry.log 2>&1 &
export DOCKER_HOST=unix:///run/gantry.sock
gantryd --data-root /var/lib/gantry --exec-root /run/gantry --host "$DOCKER_HOST" \
    --registry-mirror http://127.0.0.1:5000 >/tmp/gantryd.log 2>&1 &
until_is registry up sh -c 'busybox wget -qO- http://127.0.0.1:5000/v2/ >/dev/null && echo up'
until_is daemon up sh -c 'gantry version >/dev/null && echo up'
gantry pull -q busybox
expect hello "$(gantry run --rm busybox echo hello)" hello
expect code "$(gantry run --rm busybox sh -c 'exit 7' || echo $?)" 7

gantry run -d --name limited --memory 64m --cpus 0.5 --pids-limit 50 busybox sleep 1000
expect memory "$(gantry exec limited cat /sys/fs/cgroup/memory.max)" 67108864
expect cpu "$(gantry exec limited cat /sys/fs/cgroup/cpu.max)" "50000 100000"
expect pids "$(gantry exec limited cat /sys/fs/cgroup/pids.max)" 50
has stats "$(gantry stats --no-stream limited)" "64MiB"
gantry pause limited
expect paused "$(gantry inspect --format '{{.State.Status}}' limited)" paused
gantry unpause limited
expect running "$(gantry exec limited echo again)" again
gantry stop -t 1 limited
expect stopped "$(gantry inspect --format '{{.State.ExitCode}}' limited)" 137
gantry start limited
expect restarted "$(gantry exec limited cat /sys/fs/cgroup/memory.max)" 67108864
gantry rm -f limited

gantry run -d --name flaky --restart on-failure:2 busybox sh -c 'exit 3'
until_is restarts "exited 2 3" gantry inspect \
    --format '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}' flaky
gantry rm -f flaky

gantry run -d --name hungry --memory 16m busybox sh -c 'tail /dev/zero'
until_is killed "exited true" gantry inspect --format '{{.State.Status}} {{.State.OOMKilled}}' hungry
gantry rm hungry

[ -d /sys/kernel/security/apparmor ] || mount -t securityfs securityfs /sys/kernel/security
/payload/apparmor_parser --replace --skip-cache /payload/profiles >/dev/null 2>&1
profile='cat /proc/self/attr/current'
gantry run -d --name profiled --security-opt apparmor=box busybox sleep 1000
expect profile "$(gantry exec profiled $profile)" "box (enforce)"
expect privileged "$(gantry exec --privileged profiled $profile)" "box (enforce)"
has denied "$(gantry exec profiled sh -c 'echo x > /forbidden' 2>&1 || true)" "Permission denied"
gantry rm -f profiled
expect old "$(gantry run --rm --security-opt apparmor:other busybox $profile)" "other (enforce)"
expect unconfined "$(gantry run --rm --security-opt apparmor=unconfined busybox $profile)" unconfined
expect all "$(gantry run --rm --privileged busybox $profile)" unconfined
code=0
gantry run --rm --security-opt apparmor=nosuch busybox true 2>/tmp/said || code=$?
has "not loaded" "$(cat /tmp/said)" "unable to apply apparmor profile"
expect "not loaded" "$code" 127
expect listed "$(gantry ps -aq)" ""
until_is groups "" sh -c 'ls -d /sys/fs/cgroup/docker/*/ 2>/dev/null'
echo "to the end"
