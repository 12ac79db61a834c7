# AppArmor's profiles on containers and on what is run in them.
set -eu
. /payload/machine/assertions
runtime() { gantry-runtime --root /run/runtime "$@"; }
# configured PROFILE PROCESS COMMAND: the bundle, with more of its process, and what that does.
configured() {
    sed "s#\"process\":{#\"process\":{\"apparmorProfile\":\"$1\",$2#; s#\"sleep\",\"1000\"#\"sh\",\"-c\",\"$3\"#" \
        /payload/plain.json > /payload/bundle/config.json
}
run() { runtime run --bundle /payload/bundle box </dev/null 2>&1; }
# What is let through and what is not.
look='cat /proc/self/attr/current /proc/self/attr/apparmor/current; echo x > /forbidden || echo denied; cat /hidden || echo hidden'
both() { printf '%s (enforce)\n%s (enforce)' "$1" "$1"; }
is_nowhere() {
    expect state "$(ls /run/runtime)" ""
    expect groups "$(find /sys/fs/cgroup -name box)" ""
}

mount -t securityfs securityfs /sys/kernel/security
/payload/apparmor_parser --replace --skip-cache /payload/profiles >/tmp/parser 2>&1 || { cat /tmp/parser; exit 1; }
cp /payload/bundle/config.json /payload/plain.json
touch /payload/bundle/rootfs/forbidden
echo content > /payload/bundle/rootfs/hidden

denied="$(both box)
sh: can't create /forbidden: Permission denied
denied
cat: can't open '/hidden': Permission denied
hidden"
configured box '' "$look"
expect run "$(run)" "$denied"
configured box '"noNewPrivileges":true,' "$look"
expect "no new privileges" "$(run)" "$denied"
configured box '' "$look"
sed -i 's/"uid":0,"gid":0/"uid":7,"gid":8/; s/"gid":0,"uid":0/"uid":7,"gid":8/' /payload/bundle/config.json
expect "ordinary user" "$(run)" "$denied"
configured box '' "$look"
# Also from a user namespace.
sed -i 's#"devices":\[{[^]]*/dev/forbidden[^]]*\]#"devices":[]#; s#"namespaces":\[#"uidMappings":[{"containerID":0,"hostID":100000,"size":65536}],"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}],"namespaces":[{"type":"user"},#' \
    /payload/bundle/config.json
chmod 755 /payload/bundle
expect "user namespace" "$(run)" "$denied"
configured unconfined '' 'cat /proc/self/attr/current /hidden'
expect unconfined "$(run)" "$(printf 'unconfined\ncontent')"

# One that is not there is told of before there is a container.
configured nosuch '' true
text='error during container init: error confining the process: unable to apply apparmor profile: apparmor failed to apply profile: write "nosuch": no such file or directory'
has "not loaded" "$(run | tr -d '\\')" "$text"
for command in run create; do
    if runtime $command --bundle /payload/bundle box </dev/null >/tmp/out 2>&1; then echo "$command without its profile"; exit 1; fi
    is_nowhere
done

# Only the program has it, with the hook that runs in the container just before.
configured box '' 'sleep 1000'
sed -i 's#"hostname"#"hooks":{"startContainer":[{"path":"/bin/sh","args":["sh","-c","cat /proc/self/attr/current > /tmp/hook"],"env":["PATH=/bin"]}]},"hostname"#' \
    /payload/bundle/config.json
runtime create --pid-file /tmp/pid --bundle /payload/bundle box </dev/null >/dev/null 2>&1
expect created "$(cat /proc/$(cat /tmp/pid)/attr/current)" unconfined
expect early "$(runtime exec box cat /proc/self/attr/current)" "box (enforce)"
runtime start box
until_is started "box (enforce)" cat /proc/$(cat /tmp/pid)/attr/current
expect hook "$(cat /payload/bundle/rootfs/tmp/hook)" "box (enforce)"

expect inherited "$(runtime exec box sh -c "$look" 2>&1)" "$denied"
expect "without privileges" "$(runtime exec --no-new-privs box sh -c "$look" 2>&1)" "$denied"
expect other "$(runtime exec --apparmor other box sh -c "$look" 2>&1)" "$(both other)
cat: can't open '/hidden': Permission denied
hidden"
expect none "$(runtime exec --apparmor unconfined box cat /proc/self/attr/current /hidden)" "$(printf 'unconfined\ncontent')"
document='{"args":["cat","/proc/self/attr/current"],"cwd":"/","env":["PATH=/bin"],"user":{"uid":0,"gid":0}'
echo "$document}" > /tmp/process.json
expect document "$(runtime exec --process /tmp/process.json box)" "box (enforce)"
echo "$document,\"apparmorProfile\":\"other\"}" > /tmp/process.json
expect "document's own" "$(runtime exec --process /tmp/process.json box)" "other (enforce)"
code=0
said=$(runtime exec --apparmor nosuch box true 2>&1 | tr -d '\\') || true
has "not loaded" "$said" 'exec failed: unable to start container process: error confining the process: unable to apply apparmor profile'
runtime exec --apparmor nosuch box true 2>/dev/null || code=$?
expect code "$code" 255
runtime delete --force box
is_nowhere

# One that is checkpointed has it again, or another.
configured box '' 'sleep 1000'
runtime run --detach --bundle /payload/bundle box </dev/null >/dev/null 2>&1
runtime checkpoint --image-path /tmp/image box || { grep Error /tmp/image/dump.log; exit 1; }
# restored PROFILE FLAG…: what it has then.
restored() {
    runtime restore --detach --pid-file /tmp/pid --bundle /payload/bundle --image-path /tmp/image "$@" box \
        </dev/null >/tmp/out 2>&1 || { cat /tmp/out; grep -E "Error|lsm|LSM" /tmp/image/restore.log; exit 1; }
    cat /proc/$(cat /tmp/pid)/attr/current
    runtime exec box cat /proc/self/attr/current
    runtime delete --force box
}
expect restored "$(restored)" "$(both box)"
expect "restored as another" "$(restored --lsm-profile apparmor:other)" "$(printf 'other (enforce)\nbox (enforce)')"
is_nowhere
echo "to the end"
