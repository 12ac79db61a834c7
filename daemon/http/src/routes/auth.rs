//! Proving who one is to a registry.

use super::{Context, route};
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::auth::{AuthConfig, AuthResponse};
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 1] {
    [route!(Whole "POST /auth" => login)]
}

async fn login(context: Arc<Context>, request: Request) -> Outcome {
    let who: AuthConfig = request.json()?;
    context.engine.authenticate(who).await?;
    let status = "Login Succeeded".to_owned();
    Reply::json(&request, &AuthResponse { identity_token: String::new(), status })
}
