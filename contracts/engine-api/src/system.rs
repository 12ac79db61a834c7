//! The daemon and its machine.

mod disk_usage;
mod info;
mod version;

pub use disk_usage::{BuildCacheRecord, DiskUsage, Usage};
pub use info::{
    Commit, ContainerdInfo, ContainerdNamespaces, DeviceInfo, FirewallInfo, IndexInfo, Info,
    NetworkAddressPool, NriInfo, PluginsInfo, RegistryConfig, Runtime, SwarmInfo,
};
pub use version::{ComponentVersion, PlatformInfo, VersionResponse};
