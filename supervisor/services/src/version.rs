//! `containerd.services.version.v1.Version`.

use crate::call::Answer;
use contracts_supervisor_api::services::version::{VersionResponse, version_server::Version};
use tonic::{Request, Response, async_trait};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct VersionService;

#[async_trait]
impl Version for VersionService {
    async fn version(&self, _: Request<()>) -> Answer<VersionResponse> {
        Ok(Response::new(VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: "gantry".to_owned(),
        }))
    }
}
