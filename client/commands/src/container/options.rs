//! From the flags of `run` and `create` to the request.

mod checks;
mod devices;
mod flags;
mod health;
mod mounts;
mod network;
mod ports;
mod variables;

pub(crate) use flags::CREATE_FLAGS;
pub(crate) use variables::environment;

use crate::arguments::Arguments;
use crate::session::Session;
use crate::{pairs, quantity};
use contracts_engine_api::container::{
    Config, CreateRequest, HostConfig, LogConfig, RestartPolicy,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the flags. The operands are the image and the command's arguments.
///
/// # Errors
///
/// When flags contradict each other or a value is wrong, in Docker's words.
pub(crate) fn create_request(
    session: &Session,
    arguments: &Arguments,
) -> Result<CreateRequest, String> {
    let here = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
    let networking = network::parse(arguments)?;
    let mut host_config = host_config(arguments, &here)?;
    host_config.network_mode = networking.mode;
    let config = config(session, arguments)?;
    let mut request = CreateRequest {
        config,
        host_config: Some(host_config),
        networking_config: Some(networking.config),
    };
    apply_ports(&mut request, arguments)?;
    apply_volumes(&mut request, arguments, &here)?;
    if !networking.mac_address.is_empty() {
        request.config.mac_address = Some(networking.mac_address);
    }
    Ok(request)
}

fn config(session: &Session, arguments: &Arguments) -> Result<Config, String> {
    let (image, command) = arguments.operands.split_first().ok_or("image name is missing")?;
    let attached = |name: &str| arguments.list("attach").any(|a| a.eq_ignore_ascii_case(name));
    let none_chosen = !arguments.given("attach");
    let interactive = arguments.on("interactive");
    let attach_stdin = attached("stdin") || (none_chosen && interactive);
    let entrypoint =
        arguments.text_if_given("entrypoint").map(|entrypoint| vec![entrypoint.to_owned()]);
    Ok(Config {
        hostname: arguments.text("hostname").to_owned(),
        domainname: arguments.text("domainname").to_owned(),
        user: arguments.text("user").to_owned(),
        attach_stdin,
        attach_stdout: attached("stdout") || none_chosen,
        attach_stderr: attached("stderr") || none_chosen,
        tty: arguments.on("tty"),
        open_stdin: interactive,
        stdin_once: interactive && attach_stdin,
        env: Some(environment(session, arguments)?),
        cmd: (!command.is_empty()).then(|| command.to_vec()),
        image: image.clone(),
        working_dir: arguments.text("workdir").to_owned(),
        entrypoint,
        labels: Some(variables::labels(arguments)?),
        healthcheck: health::parse(arguments)?,
        stop_signal: arguments.text("stop-signal").to_owned(),
        stop_timeout: arguments.int_if_given("stop-timeout"),
        ..Config::default()
    })
}

fn host_config(arguments: &Arguments, here: &Path) -> Result<HostConfig, String> {
    let text = |name| arguments.text(name).to_owned();
    let list = |name| arguments.texts_if_given(name);
    let bytes = |name| quantity::parse_bytes(arguments.text(name));
    let security = security_options(arguments)?;
    Ok(HostConfig {
        container_id_file: text("cidfile"),
        log_config: log_config(arguments)?,
        restart_policy: restart_policy(arguments.text("restart"))?,
        auto_remove: arguments.on("rm"),
        volume_driver: text("volume-driver"),
        volumes_from: list("volumes-from"),
        annotations: arguments.given("annotation").then(|| pairs::of(arguments.list("annotation"))),
        cap_add: list("cap-add"),
        cap_drop: list("cap-drop"),
        cgroupns_mode: mode(arguments, "cgroupns", "CGROUP", &["", "private", "host"], &[])?,
        dns: Some(arguments.texts("dns")),
        dns_options: Some(arguments.texts("dns-option")),
        dns_search: Some(arguments.texts("dns-search")),
        extra_hosts: extra_hosts(arguments)?,
        group_add: list("group-add"),
        ipc_mode: text("ipc"),
        links: list("link"),
        oom_score_adj: arguments.int("oom-score-adj"),
        pid_mode: mode(arguments, "pid", "PID", &["", "host"], &["container:"])?,
        privileged: arguments.on("privileged"),
        publish_all_ports: arguments.on("publish-all"),
        readonly_rootfs: arguments.on("read-only"),
        security_opt: security.options,
        masked_paths: security.paths_open.then(Vec::new),
        readonly_paths: security.paths_open.then(Vec::new),
        storage_opt: storage_options(arguments)?,
        tmpfs: arguments.given("tmpfs").then(|| mounts::tmpfs(arguments.list("tmpfs"))),
        uts_mode: mode(arguments, "uts", "UTS", &["", "host"], &[])?,
        userns_mode: mode(arguments, "userns", "USER", &["", "host"], &[])?,
        shm_size: bytes("shm-size")?,
        sysctls: arguments.given("sysctl").then(|| pairs::of(arguments.list("sysctl"))),
        runtime: text("runtime"),
        isolation: text("isolation"),
        cpu_shares: arguments.int("cpu-shares"),
        memory: bytes("memory")?,
        nano_cpus: quantity::parse_cpus(arguments.text("cpus"))?,
        cgroup_parent: text("cgroup-parent"),
        blkio_weight: arguments.text("blkio-weight").parse().unwrap_or(0),
        blkio_weight_device: Some(devices::weights(arguments.list("blkio-weight-device"))?),
        blkio_device_read_bps: Some(devices::byte_rates(arguments.list("device-read-bps"))?),
        blkio_device_write_bps: Some(devices::byte_rates(arguments.list("device-write-bps"))?),
        blkio_device_read_iops: Some(devices::rates(arguments.list("device-read-iops"))?),
        blkio_device_write_iops: Some(devices::rates(arguments.list("device-write-iops"))?),
        cpu_period: arguments.int("cpu-period"),
        cpu_quota: arguments.int("cpu-quota"),
        cpu_realtime_period: arguments.int("cpu-rt-period"),
        cpu_realtime_runtime: arguments.int("cpu-rt-runtime"),
        cpuset_cpus: text("cpuset-cpus"),
        cpuset_mems: text("cpuset-mems"),
        devices: Some(devices::mappings(arguments.list("device"))?),
        device_cgroup_rules: list("device-cgroup-rule"),
        device_requests: devices::requests(arguments)?,
        kernel_memory: arguments
            .given("kernel-memory")
            .then(|| bytes("kernel-memory"))
            .transpose()?,
        memory_reservation: bytes("memory-reservation")?,
        memory_swap: bytes("memory-swap")?,
        memory_swappiness: Some(swappiness(arguments)?),
        oom_kill_disable: Some(arguments.on("oom-kill-disable")),
        pids_limit: Some(arguments.int("pids-limit")),
        ulimits: Some(devices::ulimits(arguments.list("ulimit"))?),
        cpu_count: arguments.int("cpu-count"),
        cpu_percent: arguments.int("cpu-percent"),
        io_maximum_iops: arguments.text("io-maxiops").parse().unwrap_or(0),
        io_maximum_bandwidth: u64::try_from(bytes("io-maxbandwidth")?).unwrap_or(0),
        mounts: mounts_of(arguments, here)?,
        init: arguments.given("init").then(|| arguments.on("init")),
        ..HostConfig::default()
    })
}

fn apply_ports(request: &mut CreateRequest, arguments: &Arguments) -> Result<(), String> {
    let ports = ports::parse(arguments.list("publish"), arguments.list("expose"))?;
    if !ports.exposed.is_empty() {
        request.config.exposed_ports = Some(ports.exposed);
    }
    if let Some(host) = &mut request.host_config {
        host.port_bindings = Some(ports.bindings);
    }
    Ok(())
}

fn apply_volumes(
    request: &mut CreateRequest,
    arguments: &Arguments,
    here: &Path,
) -> Result<(), String> {
    let volumes = mounts::volumes(arguments.list("volume"), here)?;
    if !volumes.anonymous.is_empty() {
        request.config.volumes = Some(volumes.anonymous);
    }
    if let Some(host) = &mut request.host_config
        && !volumes.binds.is_empty()
    {
        host.binds = Some(volumes.binds);
    }
    Ok(())
}

fn mounts_of(
    arguments: &Arguments,
    here: &Path,
) -> Result<Option<Vec<contracts_engine_api::container::Mount>>, String> {
    if !arguments.given("mount") {
        return Ok(None);
    }
    let read = |text: &str| {
        mounts::mount(text, here)
            .map_err(|why| format!("invalid argument \"{text}\" for \"--mount\" flag: {why}"))
    };
    arguments.list("mount").map(read).collect::<Result<_, _>>().map(Some)
}

fn extra_hosts(arguments: &Arguments) -> Result<Option<Vec<String>>, String> {
    if !arguments.given("add-host") {
        return Ok(None);
    }
    let read = |text| checks::split_extra_host(text).map(|(host, ip)| format!("{host}:{ip}"));
    arguments.list("add-host").map(read).collect::<Result<_, _>>().map(Some)
}

/// A namespace mode: one of some words, or a word that begins in a certain way.
fn mode(
    arguments: &Arguments,
    flag: &'static str,
    name: &str,
    words: &[&str],
    beginnings: &[&str],
) -> Result<String, String> {
    let text = arguments.text(flag);
    let good = words.contains(&text) || beginnings.iter().any(|start| text.starts_with(start));
    if good { Ok(text.to_owned()) } else { Err(format!("--{flag}: invalid {name} mode")) }
}

fn swappiness(arguments: &Arguments) -> Result<i64, String> {
    let value = arguments.int("memory-swappiness");
    if (-1..=100).contains(&value) {
        Ok(value)
    } else {
        Err(format!("invalid value: {value}. Valid memory swappiness range is 0-100"))
    }
}

fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    if name.is_empty() && count.is_some() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let maximum_retry_count = count.map_or(Ok(0), |count| {
        count.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })
    })?;
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

fn log_config(arguments: &Arguments) -> Result<LogConfig, String> {
    let driver = arguments.text("log-driver").to_owned();
    let options = pairs::of(arguments.list("log-opt"));
    if driver == "none" && !options.is_empty() {
        return Err("invalid logging opts for driver none".to_owned());
    }
    Ok(LogConfig { driver, config: Some(options) })
}

fn storage_options(arguments: &Arguments) -> Result<Option<BTreeMap<String, String>>, String> {
    if !arguments.given("storage-opt") {
        return Ok(None);
    }
    if arguments.list("storage-opt").any(|option| !option.contains('=')) {
        return Err("invalid storage option".to_owned());
    }
    Ok(Some(pairs::of(arguments.list("storage-opt"))))
}

/// Security options, and whether `systempaths=unconfined` is among them.
struct SecurityOptions {
    options: Option<Vec<String>>,
    paths_open: bool,
}

fn security_options(arguments: &Arguments) -> Result<SecurityOptions, String> {
    /// Longer profiles are not profiles.
    const MAX_PROFILE: u64 = 4 * 1024 * 1024;
    let mut options = Vec::new();
    let mut paths_open = false;
    for text in arguments.list("security-opt") {
        if text == "systempaths=unconfined" {
            paths_open = true;
            continue;
        }
        let Some((key, value)) = text.split_once('=').or_else(|| text.split_once(':')) else {
            if text != "no-new-privileges" {
                return Err(format!("Invalid --security-opt: {text:?}"));
            }
            options.push(text.to_owned());
            continue;
        };
        if key == "seccomp" && !matches!(value, "unconfined" | "builtin") {
            // The daemon may be on another machine: it gets the profile itself.
            let profile = variables::read_file(Path::new(value), MAX_PROFILE)
                .map_err(|error| format!("opening seccomp profile ({value}) failed: {error}"))?;
            let profile: serde_json::Value = serde_json::from_str(&profile).map_err(|error| {
                format!("compacting json for seccomp profile ({value}) failed: {error}")
            })?;
            options.push(format!("seccomp={profile}"));
        } else {
            options.push(text.to_owned());
        }
    }
    Ok(SecurityOptions { options: arguments.given("security-opt").then_some(options), paths_open })
}

#[cfg(test)]
mod tests;
