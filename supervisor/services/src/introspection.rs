//! `containerd.services.introspection.v1.Introspection`.

use crate::call::{Answer, filters};
use contracts_supervisor_api::services::introspection::introspection_server::Introspection;
use contracts_supervisor_api::services::introspection::{
    Plugin, PluginInfoRequest, PluginInfoResponse, PluginsRequest, PluginsResponse, ServerResponse,
};
use contracts_supervisor_api::types::Platform;
use std::collections::HashMap;
use std::path::Path;
use tonic::{Request, Response, Status, async_trait};

/// The service.
#[derive(Clone, Debug)]
pub struct IntrospectionService {
    /// What this supervisor offers.
    pub plugins: Vec<Plugin>,
    /// Names this supervisor's data root, for ever.
    pub uuid: String,
}

/// What this supervisor offers, with containerd's types of plugins. `snapshots` is where the
/// snapshotter has its directories.
#[must_use]
pub fn plugins(snapshots: &Path) -> Vec<Plugin> {
    let here = || Platform {
        os: "linux".to_owned(),
        architecture: architecture().to_owned(),
        ..Platform::default()
    };
    let plugin = |r#type: &str, id: &str| Plugin {
        r#type: r#type.to_owned(),
        id: id.to_owned(),
        ..Plugin::default()
    };
    let with_platform =
        |r#type: &str, id: &str| Plugin { platforms: vec![here()], ..plugin(r#type, id) };
    let root = snapshots.to_string_lossy().into_owned();
    let mut plugins = vec![
        plugin("io.containerd.content.v1", "content"),
        Plugin {
            exports: HashMap::from([("root".to_owned(), root)]),
            ..with_platform("io.containerd.snapshotter.v1", "overlayfs")
        },
        with_platform("io.containerd.differ.v1", "walking"),
        plugin("io.containerd.metadata.v1", "redb"),
        plugin("io.containerd.gc.v1", "scheduler"),
        plugin("io.containerd.event.v1", "exchange"),
        with_platform("io.containerd.runtime.v2", "task"),
        plugin("io.containerd.transfer.v1", "local"),
        plugin("io.containerd.streaming.v1", "manager"),
        plugin("io.gantry.stdio", "v1"),
    ];
    let services = [
        "containers",
        "content",
        "diff",
        "events",
        "healthcheck",
        "images",
        "introspection",
        "leases",
        "namespaces",
        "snapshots",
        "streaming",
        "tasks",
        "transfer",
        "version",
    ];
    plugins.extend(services.map(|service| plugin("io.containerd.grpc.v1", service)));
    plugins.push(plugin("io.containerd.ttrpc.v1", "events"));
    plugins
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[async_trait]
impl Introspection for IntrospectionService {
    async fn plugins(&self, request: Request<PluginsRequest>) -> Answer<PluginsResponse> {
        let filters = filters(&request.get_ref().filters)?;
        let mut plugins = self.plugins.clone();
        plugins.retain(|plugin| filters.matches(plugin));
        Ok(Response::new(PluginsResponse { plugins }))
    }

    async fn server(&self, _: Request<()>) -> Answer<ServerResponse> {
        Ok(Response::new(ServerResponse {
            uuid: self.uuid.clone(),
            pid: u64::from(std::process::id()),
            pidns: pid_namespace(),
            deprecations: Vec::new(),
        }))
    }

    async fn plugin_info(&self, request: Request<PluginInfoRequest>) -> Answer<PluginInfoResponse> {
        let PluginInfoRequest { r#type, id, .. } = request.get_ref();
        let plugin =
            self.plugins.iter().find(|plugin| plugin.r#type == *r#type && plugin.id == *id);
        match plugin {
            Some(plugin) => {
                Ok(Response::new(PluginInfoResponse { plugin: Some(plugin.clone()), extra: None }))
            }
            None => Err(Status::not_found(format!("plugin {type}.{id}: not found"))),
        }
    }
}

/// The inode of this process' pid namespace; 0 where /proc does not tell.
fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}
