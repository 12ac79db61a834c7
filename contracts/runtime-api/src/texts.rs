//! Error fragments that containerd's go-runc, its shim and dockerd search for, to the letter.

/// `create` with an id that is taken.
pub const ALREADY_EXISTS: &str = "container with given ID already exists";
/// Any command with an id that is not known.
pub const DOES_NOT_EXIST: &str = "container does not exist";
/// A signal to a container that has ended.
pub const NOT_RUNNING: &str = "container not running";
/// `resume` of a container that is not paused.
pub const NOT_PAUSED: &str = "container not paused";
/// A signal to a process that has ended.
pub const PROCESS_DONE: &str = "process already finished";
/// The program is in no folder of `PATH`; dockerd answers exit code 127.
pub const EXECUTABLE_NOT_FOUND: &str = "executable file not found in $PATH";
/// The program may not be executed; dockerd answers exit code 126.
pub const PERMISSION_DENIED: &str = "permission denied";
/// The program's path does not exist; dockerd answers exit code 127.
pub const NO_SUCH_FILE: &str = "no such file or directory";
/// `start` of a container that runs.
pub const ALREADY_STARTED: &str = "cannot start an already running container";
/// `start` of a container that has ended.
pub const START_STOPPED: &str = "cannot start a container that has stopped";
/// `start` of a container that is being created.
pub const START_CREATING: &str = "cannot start a container in the creating state";
/// `start` of a container that is paused.
pub const START_PAUSED: &str = "cannot start a container in the paused state";
/// `exec` in a container that has ended.
pub const EXEC_STOPPED: &str = "cannot exec in a stopped container";
/// `exec` in a paused container.
pub const EXEC_PAUSED: &str = "cannot exec in a paused container (use --ignore-paused to override)";
