//! `grpc.health.v1.Health`: a supervisor that answers is well.

use crate::call::Answer;
use contracts_supervisor_api::services::health::health_check_response::ServingStatus;
use contracts_supervisor_api::services::health::health_server::Health;
use contracts_supervisor_api::services::health::{HealthCheckRequest, HealthCheckResponse};
use futures_util::stream::{BoxStream, StreamExt, iter, pending};
use tonic::{Request, Response, Status, async_trait};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthService;

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

#[async_trait]
impl Health for HealthService {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Answer<HealthCheckResponse> {
        Ok(Response::new(serving()))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Answer<Self::WatchStream> {
        Ok(Response::new(iter([Ok(serving())]).chain(pending()).boxed()))
    }
}
