//! The flags that `run` and `create` share.

use super::{checks, devices};
use crate::flag::{Flag, Kind};

use Kind::{
    Bytes, Decimal, Duration, GpuRequest, Int, Ip, List, Map, Mount, Network, Switch, Text, Uint,
    Uint16, Ulimit,
};

/// Everything that says how a container is to be.
pub(crate) static CREATE_FLAGS: &[Flag] = &[
    Flag::new("add-host", List, "Add a line to the container's /etc/hosts (host:ip)")
        .checked(checks::extra_host),
    Flag::new("annotation", Map, "Add an annotation, which the OCI runtime sees").default("map[]"),
    Flag::new("attach", List, "Attach to STDIN, STDOUT or STDERR")
        .short('a')
        .checked(checks::attach),
    Flag::new("blkio-weight", Uint16, "Share of block I/O, 10 to 1000, or 0 for none").default("0"),
    Flag::new("blkio-weight-device", List, "Share of block I/O of one device (path:weight)"),
    Flag::new("cap-add", List, "Add Linux capabilities"),
    Flag::new("cap-drop", List, "Drop Linux capabilities"),
    Flag::new("cgroup-parent", Text, "Cgroup under which the container's is made"),
    Flag::new(
        "cgroupns",
        Text,
        "Cgroup namespace: 'host', 'private', or '' for the daemon's default",
    ),
    Flag::new("cidfile", Text, "Write the container ID to a file"),
    Flag::new("cpu-count", Int, "CPU count (Windows only)").default("0"),
    Flag::new("cpu-percent", Int, "CPU percent (Windows only)").default("0"),
    Flag::new("cpu-period", Int, "Period of the CPU scheduler's quota, in microseconds")
        .default("0"),
    Flag::new("cpu-quota", Int, "CPU time in each period, in microseconds").default("0"),
    Flag::new("cpu-rt-period", Int, "Period of real-time scheduling, in microseconds").default("0"),
    Flag::new("cpu-rt-runtime", Int, "Real-time CPU time in each period, in microseconds")
        .default("0"),
    Flag::new("cpu-shares", Int, "CPU shares (relative weight)").short('c').default("0"),
    Flag::new("cpus", Decimal, "Number of CPUs").default("0"),
    Flag::new("cpuset-cpus", Text, "CPUs to run on (0-3, 0,1)"),
    Flag::new("cpuset-mems", Text, "Memory nodes to use (0-3, 0,1)"),
    Flag::new("device", List, "Add a device of the host"),
    Flag::new("device-cgroup-rule", List, "Add a rule to the list of allowed devices")
        .checked(checks::device_cgroup_rule),
    Flag::new("device-read-bps", List, "Limit reading from a device, in bytes per second"),
    Flag::new("device-read-iops", List, "Limit reading from a device, in operations per second"),
    Flag::new("device-write-bps", List, "Limit writing to a device, in bytes per second"),
    Flag::new("device-write-iops", List, "Limit writing to a device, in operations per second"),
    Flag::new("disable-content-trust", Switch, "Skip image verification").default("true").hidden(),
    Flag::new("dns", List, "Use these DNS servers").checked(checks::address),
    Flag::new("dns-option", List, "Set DNS options"),
    Flag::new("dns-search", List, "Set DNS search domains"),
    Flag::new("domainname", Text, "NIS domain name"),
    Flag::new("entrypoint", Text, "Overwrite the default ENTRYPOINT of the image"),
    Flag::new("env", List, "Set environment variables").short('e').checked(checks::variable),
    Flag::new("env-file", List, "Read environment variables from a file"),
    Flag::new("expose", List, "Expose a port or a range of ports"),
    Flag::new("gpus", GpuRequest, "GPU devices to add ('all' for all)"),
    Flag::new("group-add", List, "Add groups to join"),
    Flag::new("health-cmd", Text, "Command that checks health"),
    Flag::new("health-interval", Duration, "Time between checks (ms|s|m|h)").default("0s"),
    Flag::new("health-retries", Int, "Failures in a row that mean unhealthy").default("0"),
    Flag::new("health-start-interval", Duration, "Time between checks while starting (ms|s|m|h)")
        .default("0s"),
    Flag::new("health-start-period", Duration, "Time in which failures do not count (ms|s|m|h)")
        .default("0s"),
    Flag::new("health-timeout", Duration, "Longest time for one check (ms|s|m|h)").default("0s"),
    Flag::new("hostname", Text, "Container host name").short('h'),
    Flag::new("init", Switch, "Run an init that forwards signals and reaps processes")
        .default("false"),
    Flag::new("interactive", Switch, "Keep STDIN open even if not attached")
        .short('i')
        .default("false"),
    Flag::new("io-maxbandwidth", Bytes, "Limit of I/O bandwidth (Windows only)").default("0"),
    Flag::new("io-maxiops", Uint, "Limit of I/O operations (Windows only)").default("0"),
    Flag::new("ip", Ip, "IPv4 address (e.g., 172.30.100.104)"),
    Flag::new("ip6", Ip, "IPv6 address (e.g., 2001:db8::33)"),
    Flag::new("ipc", Text, "IPC mode to use"),
    Flag::new("isolation", Text, "Container isolation technology"),
    Flag::new("kernel-memory", Bytes, "Kernel memory limit").default("0").hidden(),
    Flag::new("label", List, "Set a label").short('l').checked(checks::label),
    Flag::new("label-file", List, "Read labels from a file, one a line"),
    Flag::new("link", List, "Add a link to another container"),
    Flag::new("link-local-ip", List, "Link-local addresses"),
    Flag::new("log-driver", Text, "Logging driver"),
    Flag::new("log-opt", List, "Options of the logging driver"),
    Flag::new("mac-address", Text, "MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag::new("memory", Bytes, "Memory limit").short('m').default("0"),
    Flag::new("memory-reservation", Bytes, "Memory soft limit").default("0"),
    Flag::new("memory-swap", Bytes, "Limit of memory and swap together: '-1' for no limit of swap")
        .default("0"),
    Flag::new("memory-swappiness", Int, "How readily memory is swapped out (0 to 100)")
        .default("-1"),
    Flag::new("mount", Mount, "Attach a file system mount"),
    Flag::new("name", Text, "Give the container a name"),
    Flag::new("network", Network, "Connect the container to a network"),
    Flag::new("net", Network, "Connect the container to a network").hidden(),
    Flag::new("network-alias", List, "Add a name that is known on the network"),
    Flag::new("net-alias", List, "Add a name that is known on the network").hidden(),
    Flag::new("no-healthcheck", Switch, "Disable the image's HEALTHCHECK").default("false"),
    Flag::new("oom-kill-disable", Switch, "Disable the OOM killer").default("false"),
    Flag::new("oom-score-adj", Int, "OOM preference (-1000 to 1000)").default("0"),
    Flag::new("pid", Text, "PID namespace to use"),
    Flag::new("pids-limit", Int, "Limit of processes (-1 for none)").default("0"),
    Flag::new("platform", Text, "Set platform if server is multi-platform capable"),
    Flag::new("privileged", Switch, "Give extended privileges to this container").default("false"),
    Flag::new("publish", List, "Publish a port of the container on the host").short('p'),
    Flag::new("publish-all", Switch, "Publish all exposed ports on random ports")
        .short('P')
        .default("false"),
    Flag::new("pull", Text, "Pull image before creating (\"always\", \"missing\", \"never\")")
        .default("missing"),
    Flag::new("quiet", Switch, "Suppress the pull output").short('q').default("false"),
    Flag::new("read-only", Switch, "Mount the container's root file system read-only")
        .default("false"),
    Flag::new("restart", Text, "When to start the container again").default("no"),
    Flag::new("rm", Switch, "Remove the container and its anonymous volumes when it exits")
        .default("false"),
    Flag::new("runtime", Text, "OCI runtime to use"),
    Flag::new("security-opt", List, "Security options"),
    Flag::new("shm-size", Bytes, "Size of /dev/shm").default("0"),
    Flag::new("stop-signal", Text, "Signal that stops the container"),
    Flag::new("stop-timeout", Int, "Seconds to wait before killing when stopping").default("0"),
    Flag::new("storage-opt", List, "Options of the storage driver"),
    Flag::new("sysctl", Map, "Set a kernel parameter").default("map[]").checked(checks::sysctl),
    Flag::new("tmpfs", List, "Mount a tmpfs directory"),
    Flag::new("tty", Switch, "Allocate a pseudo-TTY").short('t').default("false"),
    Flag::new("ulimit", Ulimit, "Resource limits").default("[]").checked(devices::check_ulimit),
    Flag::new("use-api-socket", Switch, "Give the container the API socket").default("false"),
    Flag::new("user", Text, "Username or UID (format: <name|uid>[:<group|gid>])").short('u'),
    Flag::new("userns", Text, "User namespace to use"),
    Flag::new("uts", Text, "UTS namespace to use"),
    Flag::new("volume", List, "Mount a directory of the host, or a volume").short('v'),
    Flag::new("volume-driver", Text, "Driver of new volumes"),
    Flag::new("volumes-from", List, "Mount the volumes of another container"),
    Flag::new("workdir", Text, "Working directory inside the container").short('w'),
];
