//! The daemon and its machine: `info`, `version`, `system df`.

use crate::error::Result;
use crate::images::{host_platform, platform_text};
use crate::record::Phase;
use crate::requests::{ContainerListOptions, ImageListOptions};
use crate::shared::{RUNC_NAMES, Reloadable, Shared, blocking};
use crate::supervisor::{NAMESPACE, SNAPSHOTTER};
use contracts_engine_api::ApiVersion;
use contracts_engine_api::system::{
    Commit, ComponentVersion, ContainerdInfo, ContainerdNamespaces, DiskUsage, FirewallInfo,
    IndexInfo, Info, PlatformInfo, PluginsInfo, RegistryConfig, Runtime, SwarmInfo, Usage,
    VersionResponse,
};
use contracts_engine_api::volume::UsageData;
use jiff::Timestamp;
use std::path::Path;

const INDEX_SERVER: &str = "https://index.docker.io/v1/";
/// Networks that are reached without verified TLS whatever the flags say.
const LOOPBACK: [&str; 2] = ["::1/128", "127.0.0.0/8"];

impl Shared {
    /// `GET /info`.
    pub(crate) async fn info(&self) -> Result<Info> {
        let mut info = self.machine_info();
        for container in self.containers.all() {
            info.containers += 1;
            match container.view().state.phase {
                Phase::Running | Phase::Restarting => info.containers_running += 1,
                Phase::Paused => info.containers_paused += 1,
                _ => info.containers_stopped += 1,
            }
        }
        let images = self.images.all().await?;
        let mut digests: Vec<&str> = images.iter().map(|i| i.target.digest.as_str()).collect();
        digests.sort_unstable();
        digests.dedup();
        info.images = i64::try_from(digests.len()).unwrap_or(i64::MAX);
        Ok(info)
    }

    /// What does not need the supervisor.
    fn machine_info(&self) -> Info {
        let (config, settings) = (&self.config, self.reloadable());
        let list = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let commit = Commit::default;
        let exists = |v1: &str, v2: bool| {
            if self.facts.cgroup_v2 { v2 } else { Path::new("/sys/fs/cgroup").join(v1).exists() }
        };
        let v2 = self.facts.cgroup_v2;
        let address = config.supervisor_socket.display().to_string();
        let namespaces = ContainerdNamespaces {
            containers: NAMESPACE.to_owned(),
            plugins: "plugins.moby".to_owned(),
        };
        Info {
            id: self.identity.clone(),
            driver: SNAPSHOTTER.to_owned(),
            driver_status: Some(vec![[
                "driver-type".to_owned(),
                "io.containerd.snapshotter.v1".to_owned(),
            ]]),
            plugins: PluginsInfo {
                volume: list(&["local"]),
                network: list(&["bridge", "host", "null"]),
                authorization: None,
                log: list(&["json-file", "none"]),
            },
            memory_limit: exists("memory/memory.limit_in_bytes", true),
            swap_limit: exists("memory/memory.memsw.limit_in_bytes", true),
            cpu_cfs_period: exists("cpu/cpu.cfs_period_us", true),
            cpu_cfs_quota: exists("cpu/cpu.cfs_quota_us", true),
            cpu_shares: exists("cpu/cpu.shares", true),
            cpu_set: exists("cpuset", true),
            pids_limit: exists("pids", true),
            oom_kill_disable: exists("memory/memory.oom_control", false),
            ipv4_forwarding: read("/proc/sys/net/ipv4/ip_forward") == "1",
            debug: settings.debug,
            n_fd: std::fs::read_dir("/proc/self/fd")
                .map_or(0, Iterator::count)
                .try_into()
                .unwrap_or(0),
            n_goroutines: i64::try_from(tasks_alive()).unwrap_or(0),
            system_time: Timestamp::now().to_string(),
            logging_driver: config.log.driver.clone(),
            cgroup_driver: "cgroupfs".to_owned(),
            cgroup_version: if v2 { "2" } else { "1" }.to_owned(),
            n_events_listener: i64::try_from(self.events.listeners()).unwrap_or(0),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            operating_system: os_release("PRETTY_NAME"),
            os_version: os_release("VERSION_ID"),
            os_type: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            index_server_address: INDEX_SERVER.to_owned(),
            registry_config: Some(registry_config(&settings)),
            n_cpu: i64::from(processors()),
            mem_total: memory_total().cast_signed(),
            docker_root_dir: config.data_root.display().to_string(),
            name: self.facts.hostname.clone(),
            labels: Some(settings.labels.clone()),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtimes: Some(runtimes(&settings)),
            default_runtime: settings.default_runtime.clone(),
            init_binary: config
                .init_path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
            live_restore_enabled: true,
            containerd_commit: commit(),
            runc_commit: commit(),
            security_options: Some(self.security_options()),
            firewall_backend: Some(FirewallInfo { driver: "nftables".to_owned(), info: None }),
            cdi_spec_dirs: Some(Vec::new()),
            containerd: Some(ContainerdInfo { address, namespaces }),
            ..Info::default()
        }
    }

    fn security_options(&self) -> Vec<String> {
        let mut options = vec!["name=seccomp,profile=builtin".to_owned()];
        if self.facts.cgroup_v2 {
            options.push("name=cgroupns".to_owned());
        }
        options
    }

    /// `GET /system/df`.
    pub(crate) async fn disk_usage(&self) -> Result<DiskUsage> {
        let images = self
            .image_list(ImageListOptions { shared_size: true, ..ImageListOptions::default() })
            .await?;
        let containers = self
            .container_list(ContainerListOptions {
                all: true,
                size: true,
                ..ContainerListOptions::default()
            })
            .await?;
        let volumes = self.volume_list(&contracts_engine_api::Filters::default())?;
        let mut volumes = volumes.volumes.unwrap_or_default();
        for volume in &mut volumes {
            let ref_count = i64::try_from(self.users(&volume.name).len()).unwrap_or(i64::MAX);
            let (store, name) = (self.volumes.clone(), volume.name.clone());
            let size = blocking("measure volume", move || store.size(&name)).await?;
            volume.usage_data = Some(UsageData { ref_count, size: size.cast_signed() });
        }
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let image_size: i64 = images.iter().map(|image| image.size).sum();
        let running = containers.iter().filter(|c| c.state == "running").count();
        Ok(DiskUsage {
            layers_size: Some(image_size),
            image_usage: Some(Usage {
                active_count: count(images.iter().filter(|i| i.containers > 0).count()),
                total_count: count(images.len()),
                total_size: image_size,
                reclaimable: images.iter().filter(|i| i.containers == 0).map(|i| i.size).sum(),
                items: Some(images.clone()),
            }),
            container_usage: Some(Usage {
                active_count: count(running),
                total_count: count(containers.len()),
                total_size: containers.iter().map(|c| c.size_rw).sum(),
                reclaimable: containers
                    .iter()
                    .filter(|c| c.state != "running")
                    .map(|c| c.size_rw)
                    .sum(),
                items: Some(containers.clone()),
            }),
            volume_usage: Some(Usage {
                total_count: count(volumes.len()),
                items: Some(volumes.clone()),
                ..Usage::default()
            }),
            build_cache_usage: Some(Usage::default()),
            images: Some(images),
            containers: Some(containers),
            volumes: Some(volumes),
            build_cache: Some(Vec::new()),
        })
    }
}

fn registry_config(settings: &Reloadable) -> RegistryConfig {
    let (mut networks, mut hosts) = (LOOPBACK.map(str::to_owned).to_vec(), Vec::new());
    for entry in &settings.insecure_registries {
        if entry.contains('/') { &mut networks } else { &mut hosts }.push(entry.clone());
    }
    let mirrors = settings.registry_mirrors.clone();
    let index = |name: &str, secure, official, mirrors: Vec<String>| {
        (
            name.to_owned(),
            IndexInfo { name: name.to_owned(), mirrors: Some(mirrors), secure, official },
        )
    };
    let mut configs = vec![index("docker.io", true, true, mirrors.clone())];
    configs.extend(hosts.iter().map(|host| index(host, false, false, Vec::new())));
    RegistryConfig {
        insecure_registry_cidrs: Some(networks),
        index_configs: Some(configs.into_iter().collect()),
        mirrors: Some(mirrors),
        ..RegistryConfig::default()
    }
}

fn runtimes(settings: &Reloadable) -> std::collections::BTreeMap<String, Runtime> {
    let own = RUNC_NAMES.map(|name| {
        (name.to_owned(), Runtime { path: "gantry-runtime".to_owned(), ..Runtime::default() })
    });
    let more = settings
        .runtimes
        .iter()
        .map(|(name, path)| (name.clone(), Runtime { path: path.clone(), ..Runtime::default() }));
    own.into_iter().chain(more).collect()
}

/// `GET /version`.
pub(crate) fn version() -> VersionResponse {
    let version = env!("CARGO_PKG_VERSION");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let platform = host_platform();
    let newest = ApiVersion::newest().as_str().to_owned();
    let oldest = ApiVersion::oldest().as_str().to_owned();
    let details = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    let component = |name: &str, details| ComponentVersion {
        name: name.to_owned(),
        version: version.to_owned(),
        details,
    };
    VersionResponse {
        platform: PlatformInfo { name: "Gantry".to_owned() },
        version: version.to_owned(),
        api_version: newest.clone(),
        min_api_version: oldest.clone(),
        os: "linux".to_owned(),
        arch: platform.architecture.clone(),
        components: Some(vec![
            component(
                "Engine",
                details(&[
                    ("ApiVersion", &newest),
                    ("Arch", &platform.architecture),
                    ("KernelVersion", kernel.trim()),
                    ("MinAPIVersion", &oldest),
                    ("Os", "linux"),
                    ("Platform", &platform_text(&platform)),
                ]),
            ),
            component("gantry-supervisor", None),
            component("gantry-runtime", None),
        ]),
        kernel_version: kernel.trim().to_owned(),
        ..VersionResponse::default()
    }
}

/// How many processors the daemon may use (`sched_getaffinity(2)`), and its containers with it.
///
/// Not `available_parallelism`: that counts the CPU quota of the daemon's own cgroup too, which its
/// containers are not in.
pub(crate) fn processors() -> u32 {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => set.count(),
        // More processors than its set holds.
        Err(_) => std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    }
}

/// Bytes of memory that the machine has.
pub(crate) fn memory_total() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn tasks_alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn os_release(key: &str) -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim_matches('"').to_owned())
        .unwrap_or_default()
}
