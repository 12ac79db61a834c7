//! How a failure crosses gRPC: its kind as the code, its whole chain as the message.

use base_errors::{Chain, Classify, Kind};
use tonic::{Code, Status};

/// The status that tells of `error`; its sources are in the message.
pub fn of(error: &(impl Classify + 'static)) -> Status {
    Status::new(Code::from_i32(error.kind().grpc_code()), Chain(error).to_string())
}

/// The kind of failure that a status tells of.
#[must_use]
pub fn kind(status: &Status) -> Kind {
    Kind::from_grpc_code(status.code() as i32)
}
