//! Seccomp notification: somebody outside decides about some of a container's calls.
//!
//! The process that has installed such a filter cannot hand its descriptor on with a call that the
//! filter may stop. So it only writes the descriptor's number (which is why a profile may not stop
//! `write(2)`), and the runtime, which no filter stops, takes a copy and sends it to the listener's
//! socket, with the document that runtime-spec calls the container process state.

use crate::error::{Error, refused};
use crate::handshake;
use crate::sockets;
use contracts_runtime_api::State;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// Who decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    /// Its socket.
    pub(crate) path: PathBuf,
    /// What the configuration wants it to know.
    pub(crate) metadata: String,
}

/// Runtime-spec's document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

impl Listener {
    /// Takes the descriptor `number` of a process and sends it on; then the process may go on.
    pub(crate) fn serve(
        &self,
        socket: BorrowedFd<'_>,
        process: BorrowedFd<'_>,
        pid: i32,
        number: i32,
        state: &State,
    ) -> Result<(), Error> {
        let descriptor = pidfd_getfd(process, number, PidfdGetfdFlags::empty())
            .map_err(refused("take the seccomp listener's descriptor"))?;
        let document = ContainerProcessState {
            oci_version: base_oci::runtime::VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: &self.metadata,
            state,
        };
        let text = serde_json::to_vec(&document)
            .map_err(|error| Error::Configuration(format!("process state: {error}")))?;
        let path = self.path.display();
        sockets::send(&self.path, &text, descriptor.as_fd())
            .map_err(refused(format!("send the seccomp listener's descriptor to {path}")))?;
        handshake::listener_is_taken(socket)
    }
}
