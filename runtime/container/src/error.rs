//! What can fail in a container's life.

use base_errors::{Classify, Kind};
use contracts_runtime_api::{Status, texts};
use rustix::io::Errno;
use std::path::PathBuf;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An id with other characters than letters, digits and `_+-.`.
    #[error("invalid container ID format: {0:?}")]
    InvalidId(String),
    /// The id is taken.
    #[error("{}", texts::ALREADY_EXISTS)]
    AlreadyExists,
    /// There is no such container.
    #[error("{}", texts::DOES_NOT_EXIST)]
    DoesNotExist,
    /// It has ended.
    #[error("{}", texts::NOT_RUNNING)]
    NotRunning,
    /// It is not paused.
    #[error("{}", texts::NOT_PAUSED)]
    NotPaused,
    /// `start` in the wrong state.
    #[error("{}", match .0 {
        Status::Stopped => texts::START_STOPPED,
        Status::Creating => texts::START_CREATING,
        Status::Paused => texts::START_PAUSED,
        _ => texts::ALREADY_STARTED,
    })]
    NotCreated(Status),
    /// `exec` in a container that has ended.
    #[error("{}", texts::EXEC_STOPPED)]
    ExecStopped,
    /// `exec` in a paused container.
    #[error("{}", texts::EXEC_PAUSED)]
    ExecPaused,
    /// `exec` before the container is made.
    #[error("cannot exec in a container that is being created: try again when it is")]
    ExecCreating,
    /// `exec` before the start, by an ordinary user.
    #[error("cannot exec in a container that has not been started: only root may, start it first")]
    ExecCreated,
    /// `delete` in the wrong state.
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped {
        /// The container.
        id: String,
        /// What it is doing.
        status: Status,
    },
    /// `checkpoint` in the wrong state.
    #[error("container cannot be checkpointed in {0} state")]
    NotToBeCheckpointed(Status),
    /// The program that checkpoints needs is missing.
    #[error("checkpoint and restore need criu, which is not installed (apt-get install criu)")]
    NoCriu,
    /// It failed.
    #[error("criu failed: {0}")]
    Criu(String),
    /// The configuration is wrong.
    #[error("invalid configuration: {0}")]
    Configuration(String),
    /// Not offered yet.
    #[error("{0}: not implemented")]
    Unimplemented(&'static str),
    /// A file of the state folder cannot be read or written.
    #[error("{step} {}", path.display())]
    State {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The state was written by a newer version of this program, or is damaged.
    #[error("state of container {id} cannot be read: {reason}")]
    StateFormat {
        /// The container.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cgroup could not be made or changed.
    #[error("unable to apply cgroup configuration")]
    Cgroup(#[from] runtime_cgroups::Error),
    /// The root file system could not be made.
    #[error("error mounting the root file system")]
    Rootfs(#[from] runtime_rootfs::Error),
    /// The confinement is wrong or was refused.
    #[error("error confining the process")]
    Confine(#[from] runtime_confine::Error),
    /// A path could not be resolved or made.
    #[error("error resolving a path")]
    Path(#[from] kernel_paths::Error),
    /// The program cannot be executed; the text is what callers search for.
    #[error("exec: {program:?}: {reason}")]
    Program {
        /// As the configuration names it.
        program: String,
        /// Go's wording.
        reason: String,
    },
    /// The container's first process failed before its program ran.
    #[error("unable to start container process: error during container init: {message}")]
    Init {
        /// What it reported.
        message: String,
        /// Of which kind that was.
        kind: Kind,
    },
    /// An exec'd process failed before its program ran.
    #[error("exec failed: unable to start container process: {message}")]
    Exec {
        /// What it reported.
        message: String,
        /// Of which kind that was.
        kind: Kind,
    },
    /// A program that maps ids for who may not do it refused.
    #[error("{program}: {reason}")]
    Mapping {
        /// Which.
        program: &'static str,
        /// What it said.
        reason: String,
    },
    /// What the out-of-memory killer is to think of a process could not be set.
    #[error("set oom_score_adj to {score}{}", match source.errno() {
        Errno::ACCESS | Errno::PERM => " (only root may go below the caller's own)",
        _ => "",
    })]
    OomScore {
        /// The configured value.
        score: i32,
        /// Why not.
        #[source]
        source: kernel_paths::Error,
    },
    /// A network device could not be moved.
    #[error("move network device {name} into the container: {reason}")]
    NetDevice {
        /// Its name on the host.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A hook failed.
    #[error("error running {phase} hook #{index}: {reason}")]
    Hook {
        /// Which phase.
        phase: &'static str,
        /// Which of that phase.
        index: usize,
        /// How it ended.
        reason: String,
    },
    /// A system call of the runtime itself was refused.
    #[error("{step}")]
    Refused {
        /// What was being done.
        step: String,
        /// Why not.
        #[source]
        errno: Errno,
    },
    /// Creating failed, and so did removing what had been made.
    #[error("{}; and cleaning up failed: {}", error.message(), cleanup.message())]
    Cleanup {
        /// Why creating failed.
        error: Box<Self>,
        /// Why cleaning up failed.
        cleanup: Box<Self>,
    },
}

impl Error {
    /// The whole chain as one text, with the kernel's reasons worded as Go words them: callers of
    /// OCI runtimes search for `no such file or directory` and `permission denied`.
    #[must_use]
    pub fn message(&self) -> String {
        use std::fmt::Write as _;
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let _ = match (error.downcast_ref::<Errno>(), error.downcast_ref::<std::io::Error>()) {
                (Some(errno), _) => write!(text, ": {}", reason(*errno)),
                (None, Some(error)) => write!(text, ": {}", io_reason(error)),
                (None, None) => write!(text, ": {error}"),
            };
            source = error.source();
        }
        text
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidId(_) | Self::Configuration(_) => Kind::InvalidArgument,
            Self::AlreadyExists => Kind::AlreadyExists,
            Self::DoesNotExist | Self::NotRunning => Kind::NotFound,
            Self::NotPaused
            | Self::NotCreated(_)
            | Self::ExecStopped
            | Self::ExecPaused
            | Self::ExecCreating
            | Self::ExecCreated
            | Self::NotToBeCheckpointed(_)
            | Self::NoCriu
            | Self::NotStopped { .. } => Kind::FailedPrecondition,
            Self::Unimplemented(_) => Kind::Unimplemented,
            Self::State { source, .. } => Kind::from_io(source),
            Self::StateFormat { .. } => Kind::DataLoss,
            Self::Cgroup(error) => error.kind(),
            Self::Rootfs(error) => error.kind(),
            Self::Confine(error) => error.kind(),
            Self::Path(error) => error.kind(),
            Self::Program { .. } => Kind::InvalidArgument,
            Self::Mapping { .. } => Kind::PermissionDenied,
            Self::OomScore { source, .. } => source.kind(),
            Self::Init { kind, .. } | Self::Exec { kind, .. } => *kind,
            Self::Criu(_) | Self::Hook { .. } | Self::NetDevice { .. } => Kind::Internal,
            Self::Refused { errno, .. } => Kind::from_io(&(*errno).into()),
            Self::Cleanup { error, .. } => error.kind(),
        }
    }
}

/// Names the step of a refused system call.
pub(crate) fn refused(step: impl Into<String>) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Refused { step: step.into(), errno }
}

/// An errno as Go prints it: the C library's text with a small first letter.
pub(crate) fn reason(errno: Errno) -> String {
    io_reason(&errno.into())
}

/// The same of an error of the standard library's.
#[must_use]
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_worded_as_callers_search_for_them() {
        assert_eq!(reason(Errno::NOENT), "no such file or directory");
        assert_eq!(reason(Errno::ACCESS), "permission denied");
        assert_eq!(reason(Errno::NOEXEC), "exec format error");
        let error = Error::Refused { step: "open x".to_owned(), errno: Errno::NOENT };
        assert_eq!(error.message(), "open x: no such file or directory");
        let source = std::io::Error::from(Errno::NAMETOOLONG);
        let error = Error::State { step: "make", path: "/x".into(), source };
        assert_eq!(error.message(), "make /x: file name too long");
    }
}
