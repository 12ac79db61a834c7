//! Containers: what a client asks for, and what it is told.

mod config;
mod create;
mod health;
mod host_config;
mod inspect;
mod list;
mod mount;
mod operation;
mod port;
mod state;
mod stats;

pub use crate::presence::Member;
pub use config::{Config, HealthConfig};
pub use create::{CreateRequest, CreateResponse};
pub use health::{Health, HealthSummary, HealthcheckResult};
pub(crate) use host_config::embedding;
pub use host_config::{
    DeviceMapping, DeviceRequest, HostConfig, LogConfig, Resources, RestartPolicy, ThrottleDevice,
    Ulimit, UpdateRequest, WeightDevice,
};
pub use inspect::{
    DriverData, InspectResponse, NetworkSettings, RootFsSnapshot, RootFsStorage, Storage,
};
pub use list::{Summary, SummaryHostConfig, SummaryNetworkSettings};
pub use mount::{
    BindOptions, ImageOptions, Mount, MountDriver, MountPoint, TmpfsOptions, VolumeOptions,
};
pub use operation::{
    FilesystemChange, IdResponse, PruneReport, TopResponse, UpdateResponse, WaitExitError,
    WaitResponse,
};
pub use port::{PortBinding, PortMap, PortSummary};
pub use state::{State, Status};
pub use stats::{
    BlkioStatEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
    StatsResponse, StorageStats, ThrottlingData,
};
