//! What older clients are told.

use super::{ResponseGate, each, remove, set, set_missing, within};
use serde_json::{Value, json};

const CONTAINER: &str = "GET /containers/{}/json";
const CONTAINERS: &str = "GET /containers/json";
const DISK_USAGE: &str = "GET /system/df";
const IMAGE: &str = "GET /images/{}/json";
const IMAGES: &str = "GET /images/json";
const INFO: &str = "GET /info";
const NETWORK: &str = "GET /networks/{}";
const NETWORKS: &str = "GET /networks";
const STATS: &str = "GET /containers/{}/stats";
const WAIT: &str = "POST /containers/{}/wait";

pub(super) const GATES: &[ResponseGate] = &[
    ResponseGate { before: 56, route: CONTAINER, change: container_before_56 },
    ResponseGate { before: 53, route: INFO, change: |info| remove(info, &["NRI"]) },
    ResponseGate { before: 53, route: IMAGE, change: |image| remove(image, &["Identity"]) },
    ResponseGate { before: 52, route: CONTAINER, change: container_before_52 },
    ResponseGate { before: 52, route: CONTAINERS, change: containers_before_52 },
    ResponseGate { before: 52, route: DISK_USAGE, change: disk_usage_before_52 },
    ResponseGate { before: 52, route: IMAGE, change: image_before_52 },
    ResponseGate { before: 52, route: NETWORK, change: |network| remove(network, &["Status"]) },
    ResponseGate { before: 51, route: IMAGES, change: images_before_51 },
    ResponseGate { before: 50, route: INFO, change: info_before_50 },
    ResponseGate { before: 50, route: IMAGE, change: image_before_50 },
    ResponseGate { before: 49, route: INFO, change: info_before_49 },
    ResponseGate { before: 48, route: CONTAINER, change: container_before_48 },
    ResponseGate { before: 48, route: CONTAINERS, change: containers_before_48 },
    ResponseGate { before: 48, route: IMAGE, change: |image| remove(image, &["Descriptor"]) },
    ResponseGate { before: 48, route: IMAGES, change: images_before_48 },
    ResponseGate { before: 47, route: INFO, change: info_before_47 },
    ResponseGate { before: 46, route: CONTAINERS, change: containers_before_46 },
    ResponseGate { before: 46, route: INFO, change: |info| remove(info, &["Containerd"]) },
    ResponseGate { before: 45, route: CONTAINER, change: container_before_45 },
    ResponseGate { before: 45, route: IMAGE, change: image_before_45 },
    ResponseGate { before: 44, route: DISK_USAGE, change: disk_usage_before_44 },
    ResponseGate { before: 44, route: IMAGE, change: virtual_size },
    ResponseGate { before: 44, route: IMAGES, change: |images| each(images, virtual_size) },
    ResponseGate { before: 44, route: INFO, change: info_before_44 },
    ResponseGate { before: 43, route: IMAGES, change: images_before_43 },
    ResponseGate { before: 40, route: CONTAINER, change: container_before_40 },
    ResponseGate { before: 40, route: CONTAINERS, change: containers_before_40 },
    ResponseGate { before: 40, route: DISK_USAGE, change: disk_usage_before_40 },
    ResponseGate { before: 40, route: NETWORK, change: network_before_40 },
    ResponseGate { before: 40, route: NETWORKS, change: |list| each(list, network_before_40) },
    ResponseGate { before: 40, route: STATS, change: |stats| remove(stats, &["os_type"]) },
    ResponseGate {
        before: 40,
        route: WAIT,
        change: |wait| set_missing(wait, "Error", Value::Null),
    },
    ResponseGate { before: 25, route: INFO, change: info_before_25 },
];

fn container_before_56(container: &mut Value) {
    within(container, "HostConfig", |host| remove(host, &["Umask"]));
}

fn container_before_52(container: &mut Value) {
    const COPIED: [&str; 8] = [
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "MacAddress",
    ];
    within(container, "NetworkSettings", |settings| {
        let bridge = settings.pointer("/Networks/bridge").cloned();
        if let Some(bridge) = bridge {
            for field in COPIED {
                set(settings, field, bridge.get(field).cloned().unwrap_or_default());
            }
        }
    });
    let snapshotter = container.pointer("/Storage/RootFS/Snapshot/Name").cloned();
    if let Some(name) = snapshotter.filter(|_| container.get("GraphDriver").is_none()) {
        set(container, "GraphDriver", json!({"Data": null, "Name": name}));
        remove(container, &["Storage"]);
    }
}

fn container_before_48(container: &mut Value) {
    remove(container, &["ImageManifestDescriptor"]);
}

/// The short id and the host name are names on every network that somebody made.
fn container_before_45(container: &mut Value) {
    let text = |pointer: &str| {
        container.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let short: String = text("/Id").chars().take(12).collect();
    let host = text("/Config/Hostname");
    let networks =
        container.pointer_mut("/NetworkSettings/Networks").and_then(Value::as_object_mut);
    for (name, endpoint) in networks.into_iter().flatten() {
        if matches!(name.as_str(), "bridge" | "host" | "none" | "default") {
            continue;
        }
        let mut aliases =
            endpoint.get("Aliases").and_then(Value::as_array).cloned().unwrap_or_default();
        for alias in [&short, &host] {
            if !aliases.iter().any(|known| known == alias) {
                aliases.push(json!(alias));
            }
        }
        set(endpoint, "Aliases", aliases);
    }
}

/// dockerd 20.10 is the last that speaks to clients so old, and they were written for its fields.
fn container_before_40(container: &mut Value) {
    within(container, "NetworkSettings", |settings| {
        for field in ["Bridge", "LinkLocalIPv6Address"] {
            set_missing(settings, field, "");
        }
        set_missing(settings, "HairpinMode", false);
        set_missing(settings, "LinkLocalIPv6PrefixLen", 0);
        for field in ["SecondaryIPAddresses", "SecondaryIPv6Addresses"] {
            set_missing(settings, field, Value::Null);
        }
        // Copies of an endpoint on the bridge, even where there is none.
        for field in
            ["EndpointID", "Gateway", "GlobalIPv6Address", "IPAddress", "IPv6Gateway", "MacAddress"]
        {
            set_missing(settings, field, "");
        }
        for field in ["GlobalIPv6PrefixLen", "IPPrefixLen"] {
            set_missing(settings, field, 0);
        }
    });
    endpoints_before_40(container);
    within(container, "Config", |config| set_missing(config, "OnBuild", Value::Null));
    within(container, "HostConfig", |host| {
        set_missing(host, "KernelMemory", 0);
        set_missing(host, "KernelMemoryTCP", 0);
    });
}

fn containers_before_40(containers: &mut Value) {
    each(containers, |container| {
        endpoints_before_40(container);
        within(container, "Ports", |ports| {
            each(ports, |port| {
                if port["IP"] == "" {
                    remove(port, &["IP"]);
                }
            });
        });
    });
}

fn endpoints_before_40(container: &mut Value) {
    let endpoints =
        container.pointer_mut("/NetworkSettings/Networks").and_then(Value::as_object_mut);
    for (_, endpoint) in endpoints.into_iter().flatten() {
        remove(endpoint, &["DNSNames", "GwPriority"]);
    }
}

fn network_before_40(network: &mut Value) {
    remove(network, &["EnableIPv4"]);
    within(network, "IPAM", |ipam| {
        if ipam["Config"].is_null() {
            set(ipam, "Config", json!([]));
        }
    });
}

fn containers_before_52(containers: &mut Value) {
    each(containers, |container| remove(container, &["Health"]));
}

fn containers_before_48(containers: &mut Value) {
    each(containers, |container| remove(container, &["ImageManifestDescriptor"]));
}

fn containers_before_46(containers: &mut Value) {
    each(containers, |container| {
        within(container, "HostConfig", |host| remove(host, &["Annotations"]));
    });
}

fn disk_usage_before_52(usage: &mut Value) {
    remove(usage, &["ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"]);
}

fn disk_usage_before_44(usage: &mut Value) {
    within(usage, "Images", |images| each(images, virtual_size));
}

fn disk_usage_before_40(usage: &mut Value) {
    within(usage, "Images", |images| each(images, |image| remove(image, &["Descriptor"])));
    within(usage, "BuildCache", |cache| {
        if cache.as_array().is_some_and(Vec::is_empty) {
            *cache = Value::Null;
        }
    });
    set_missing(usage, "BuilderSize", 0);
}

/// The fields of an image's configuration that were always there, even when empty.
fn image_before_52(image: &mut Value) {
    for field in ["Parent", "Comment", "DockerVersion", "Author"] {
        set_missing(image, field, "");
    }
    within(image, "Config", |config| {
        for field in ["Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Volumes"] {
            set_missing(config, field, Value::Null);
        }
        for field in ["User", "WorkingDir"] {
            set_missing(config, field, "");
        }
    });
}

/// An image's configuration used to be a container's.
fn image_before_50(image: &mut Value) {
    within(image, "Config", |config| {
        for field in
            ["AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"]
        {
            set_missing(config, field, false);
        }
        for field in ["Domainname", "Hostname", "Image"] {
            set_missing(config, field, "");
        }
    });
}

fn image_before_45(image: &mut Value) {
    set_missing(image, "Container", "");
    set_missing(image, "ContainerConfig", Value::Null);
}

fn virtual_size(image: &mut Value) {
    let size = image.get("Size").cloned().unwrap_or_else(|| json!(0));
    set(image, "VirtualSize", size);
}

fn images_before_51(images: &mut Value) {
    each(images, |image| set(image, "Containers", -1));
}

fn images_before_48(images: &mut Value) {
    each(images, |image| remove(image, &["Descriptor"]));
}

fn images_before_43(images: &mut Value) {
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    each(images, |image| {
        if empty(&image["RepoTags"]) && empty(&image["RepoDigests"]) {
            set(image, "RepoTags", json!(["<none>:<none>"]));
            set(image, "RepoDigests", json!(["<none>@<none>"]));
        }
    });
}

fn info_before_50(info: &mut Value) {
    remove(info, &["DiscoveredDevices"]);
    set(info, "BridgeNfIptables", false);
    set(info, "BridgeNfIp6tables", false);
}

fn info_before_49(info: &mut Value) {
    remove(info, &["FirewallBackend"]);
    for field in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
        within(info, field, |commit| {
            let id = commit.get("ID").cloned().unwrap_or_default();
            set(commit, "Expected", id);
        });
    }
}

fn info_before_47(info: &mut Value) {
    within(info, "RegistryConfig", |config| {
        set(config, "AllowNondistributableArtifactsCIDRs", Value::Null);
        set(config, "AllowNondistributableArtifactsHostnames", Value::Null);
    });
}

/// Security options had names only, and there were execution drivers.
fn info_before_25(info: &mut Value) {
    set(info, "ExecutionDriver", "<not supported>");
    within(info, "SecurityOptions", |options| {
        each(options, |option| {
            let name = option.as_str().and_then(|text| text.strip_prefix("name="));
            if let Some(name) = name.and_then(|text| text.split(',').next()) {
                *option = json!(name);
            }
        });
    });
}

fn info_before_44(info: &mut Value) {
    let runtimes = info.get_mut("Runtimes").and_then(Value::as_object_mut);
    for (_, runtime) in runtimes.into_iter().flatten() {
        remove(runtime, &["status"]);
    }
}
