# SELinux's labels on containers, on what is run in them and on their file systems.
set -eu
. /payload/machine/assertions
runtime() { gantry-runtime --root /run/runtime "$@"; }
box=system:runs:box:s0:c1,c2
files=system:object_r:files:s0:c1,c2
sed "s#\"linux\":{#\"linux\":{\"mountLabel\":\"$files\",\"maskedPaths\":[\"/sys/firmware\",\"/sys/kernel\"],#
    s#\"mounts\":\[#\"mounts\":[{\"destination\":\"/scratch\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},{\"destination\":\"/queues\",\"type\":\"mqueue\",\"source\":\"mqueue\"},{\"destination\":\"/own\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"ro\"]},#" \
    /payload/bundle/config.json > /payload/plain.json
# configured LABEL PROCESS COMMAND: the bundle, with more of its process, and what that does.
configured() {
    sed "s#\"process\":{#\"process\":{\"selinuxLabel\":\"$1\",$2#; s#\"sleep\",\"1000\"#\"sh\",\"-c\",\"$3\"#" \
        /payload/plain.json > /payload/bundle/config.json
}
run() { runtime run --bundle /payload/bundle box </dev/null 2>&1; }
own() { tr -d '\000' </proc/$1/attr/current; }
is_nowhere() {
    expect state "$(ls /run/runtime)" ""
    expect groups "$(find /sys/fs/cgroup -name box)" ""
}

# Without a policy nothing has a label.
mount -t selinuxfs selinuxfs /sys/fs/selinux
configured $box '' 'cat /proc/self/attr/current; grep -c context= /proc/self/mountinfo'
said=$(run || true)
has warning "$said" "ignoring SELinux label"
has unlabelled "$said" kernel

dd if=/payload/policy of=/sys/fs/selinux/load bs=1M 2>/dev/null
echo 1 > /sys/fs/selinux/enforce
expect host "$(own self)" system:runs:host:s0
# What the policy lets through and what not.
look='cat /proc/self/attr/current; echo; echo x > /file || echo denied; echo x > /scratch/file \&\& cat /scratch/file'
allowed="$box
sh: can't create /file: Permission denied
denied
x"
touch /payload/bundle/rootfs/file
configured $box '' "$look"
expect run "$(run | tr -d '\000')" "$allowed"
configured $box '"noNewPrivileges":true,' "$look"
expect "no new privileges" "$(run | tr -d '\000')" "$allowed"
configured $box '' 'cat /proc/self/attr/current'
sed -i 's/"uid":0,"gid":0/"uid":7,"gid":8/; s/"gid":0,"uid":0/"uid":7,"gid":8/' /payload/bundle/config.json
expect "ordinary user" "$(run | tr -d '\000')" $box

# New file systems have theirs, but for those that the kernel fills; a queue's folder takes new names.
configured $box '' 'echo > /new; echo > /queues/new; for file in /new /queues/new; do test -e \$file || echo no \$file; done; grep context= /proc/self/mountinfo'
said=$(run) || { echo "$said"; exit 1; }
has queues "$said" "no /new"
if echo "$said" | grep -q "no /queues"; then echo "$said"; exit 1; fi
mounts=$(echo "$said" | sed -n 's/^.* \(\/[^ ]*\) [^ ]* - \([^ ]*\) .*context="\([^"]*\)".*/\1 \2 \3/p')
expect mounts "$mounts" "$(printf "%s tmpfs $files\n" /scratch /own /dev /sys/firmware /sys/kernel)"
configured $box '' 'cat /proc/keys'
expect keys "$(run | sed 's/.* perm \([^ ]*\) .* keyring */\1 /')" "3f1b0000 _ses.box: empty"

configured $box '' 'cat /proc/self/attr/current; grep context= /proc/self/mountinfo'
# Also from a user namespace.
sed -i 's#"devices":\[{[^]]*/dev/forbidden[^]]*\]#"devices":[]#; s#"namespaces":\[#"uidMappings":[{"containerID":0,"hostID":100000,"size":65536}],"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}],"namespaces":[{"type":"user"},#' \
    /payload/bundle/config.json
chmod 755 /payload/bundle
said=$(run | tr -d '\000')
has "user namespace" "$said" "$box"
expect "mounts of a user namespace" "$(echo "$said" | grep -c "context=\"$files\"")" 5

# One that the policy does not know is told of before there is a container.
configured a:b:c '' true
has unknown "$(run | tr -d '\\')" 'can'"'"'t set process label: write "a:b:c": invalid argument'
for command in run create; do
    if runtime $command --bundle /payload/bundle box </dev/null >/tmp/out 2>&1; then echo "$command without its label"; exit 1; fi
    is_nowhere
done

configured $box '' 'sleep 1000'
runtime create --pid-file /tmp/pid --bundle /payload/bundle box </dev/null >/dev/null 2>&1
expect created "$(own $(cat /tmp/pid))" system:runs:host:s0
runtime start box
until_is started $box own $(cat /tmp/pid)
other=system:runs:other:s0
execute() { runtime exec "$@" 2>&1 | tr -d '\000'; }
expect inherited "$(execute box cat /proc/self/attr/current)" $box
expect "without privileges" "$(execute --no-new-privs box cat /proc/self/attr/current)" $box
expect denied "$(execute box sh -c 'echo x > /file')" "sh: can't create /file: Permission denied"
expect other "$(execute --process-label $other box sh -c 'cat /proc/self/attr/current; echo x > /file')" $other
echo '{"args":["cat","/proc/self/attr/current"],"cwd":"/","env":["PATH=/bin"],"user":{"uid":0,"gid":0}}' > /tmp/process.json
expect document "$(execute --process /tmp/process.json box)" $box
code=0
runtime exec --process-label a:b:c box true 2>/tmp/out || code=$?
expect code "$code" 255
has unknown "$(cat /tmp/out)" "exec failed: unable to start container process: error confining the process: can't set process label"
runtime delete --force box
is_nowhere
echo "to the end"
