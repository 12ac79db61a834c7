//! The shim's program and its two actions.

use crate::bundle::Layout;
use crate::{Error, Reaper, Scope};
use contracts_shim_api::bootstrap::{
    BootstrapParams, MAX_DOCUMENT, MAX_VERSION_VARIABLE, RUNTIME_ROOT_VARIABLE,
    SOCKET_DIRECTORY_VARIABLE, TTRPC_ADDRESS_VARIABLE, VERSION,
};
use contracts_shim_api::task::DeleteResponse;
use prost::Message;
use prost_types::Any;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot::error::TryRecvError;

/// How long an action may take. `delete` has a container to kill and unmount.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every shim is told about the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) layout: Layout,
    /// The supervisor's gRPC socket.
    pub(crate) grpc: PathBuf,
    /// The socket for events.
    pub(crate) ttrpc: PathBuf,
    pub(crate) reaper: Reaper,
    pub(crate) debug: bool,
}

impl Surroundings {
    /// Removes the socket that a killed shim left in our directory of sockets; one that a shim
    /// listens on, which may have other containers, stays.
    pub(crate) async fn remove_socket(&self, address: Option<&str>) {
        let address = address.unwrap_or_default();
        let path = Path::new(address.strip_prefix("unix://").unwrap_or(address));
        if path.parent() == Some(self.layout.sockets().as_path())
            && let Err(error) = UnixStream::connect(path).await
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The program of a runtime: `io.containerd.NAME.VERSION` is `containerd-shim-NAME-VERSION`,
/// beside this program or in `PATH`.
pub(crate) fn resolve(runtime: &str) -> Result<PathBuf, Error> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    resolve_in(runtime, beside.into_iter().chain(std::env::split_paths(&path)))
}

fn resolve_in(
    runtime: &str,
    mut directories: impl Iterator<Item = PathBuf>,
) -> Result<PathBuf, Error> {
    if runtime.starts_with('/') {
        return Ok(PathBuf::from(runtime));
    }
    let invalid = || Error::RuntimeName(runtime.to_owned());
    let mut parts = runtime.rsplit('.');
    let (version, name) = parts.next().zip(parts.next()).ok_or_else(invalid)?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/');
    if !plain(name) || !plain(version) {
        return Err(invalid());
    }
    let program = format!("containerd-shim-{name}-{version}");
    directories
        .find_map(|directory| Some(directory.join(&program)).filter(|path| path.is_file()))
        .ok_or_else(|| Error::NotInstalled { runtime: runtime.to_owned(), program })
}

/// Tells whether this is our shim, which wants no log fifo: its standard error is enough.
pub(crate) fn is_gantry(program: &Path) -> bool {
    let name = program.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with("containerd-shim-gantry-")
}

/// Runs `start` in a bundle; answers where the shim listens.
pub(crate) async fn start(
    around: &Surroundings,
    program: &Path,
    scope: &Scope,
    id: &str,
    bundle: &Path,
    options: Option<&Any>,
) -> Result<BootstrapParams, Error> {
    let mut command = command(around, program, scope, id, bundle);
    command.arg("start");
    let input = options.map(Message::encode_to_vec).unwrap_or_default();
    let finished = |output: &[u8]| output.first() == Some(&b'{') && parse(output).is_ok();
    let output = run(around, program, "start", command, &input, finished).await?;
    parse(&output)
}

fn parse(output: &[u8]) -> Result<BootstrapParams, Error> {
    Ok(BootstrapParams::parse(output)?)
}

/// Runs `delete`: ends what is left of a container whose shim is gone, and unmounts its root.
pub(crate) async fn delete(
    around: &Surroundings,
    program: &Path,
    scope: &Scope,
    id: &str,
    bundle: &Path,
) -> Result<DeleteResponse, Error> {
    let mut command = command(around, program, scope, id, bundle);
    command.arg("-bundle").arg(bundle).arg("delete");
    let output = run(around, program, "delete", command, &[], |_| false).await?;
    let decoded = DeleteResponse::decode(output.as_slice());
    Ok(decoded.map_err(contracts_shim_api::ttrpc::FrameError::from)?)
}

fn command(
    around: &Surroundings,
    program: &Path,
    scope: &Scope,
    id: &str,
    bundle: &Path,
) -> Command {
    let mut command = Command::new(program);
    command.args(["-namespace", &scope.namespace, "-id", id, "-address"]).arg(&around.grpc);
    command.arg("-publish-binary").arg("/proc/self/exe");
    if around.debug {
        command.arg("-debug");
    }
    command
        .current_dir(bundle)
        .env(TTRPC_ADDRESS_VARIABLE, &around.ttrpc)
        .env("GRPC_ADDRESS", &around.grpc)
        .env("NAMESPACE", &scope.namespace)
        .env(MAX_VERSION_VARIABLE, VERSION.to_string())
        .env(SOCKET_DIRECTORY_VARIABLE, around.layout.sockets())
        .env(RUNTIME_ROOT_VARIABLE, around.layout.runtime(&scope.namespace))
        .env(base_telemetry::TRACEPARENT_VARIABLE, scope.trace.to_string())
        // Signals meant for the supervisor's group are not meant for shims.
        .process_group(0);
    command
}

/// Runs a program to its end, or until its output is all that was wanted: the way from there to
/// its death is nobody's business but the reaper's. `Command` without `pre_exec` starts children
/// with `posix_spawn`, so the supervisor's size does not matter.
async fn run(
    around: &Surroundings,
    program: &Path,
    action: &'static str,
    mut command: Command,
    input: &[u8],
    is_enough: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Spawn { program: program.to_owned(), source };
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let (mut child, mut ended) = around.reaper.spawn(&mut command).map_err(failed)?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("the standard output is piped");
    let work = async {
        if let Some(stdin) = stdin {
            let mut stdin = pipe::Sender::from_owned_fd(stdin.into())?;
            // A shim that does not read its options may close them unread.
            let _ = stdin.write_all(input).await;
        }
        let stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
        let (output, enough) = read_until(stdout, is_enough).await?;
        let status = if enough { None } else { Some((&mut ended).await) };
        io::Result::Ok((output, status))
    };
    let Ok(worked) = tokio::time::timeout(PATIENCE, work).await else {
        // Once it has been reaped, its pid may be anybody's.
        if ended.try_recv().is_err_and(|error| error == TryRecvError::Empty) {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        return Err(Error::Timeout(action));
    };
    let (output, status) = worked.map_err(failed)?;
    let Some(status) = status else { return Ok(output) };
    match status {
        Ok(status) if status.success() => Ok(output),
        status => Err(Error::Action {
            program: program.to_owned(),
            action,
            status: status.map_or_else(|_| "unknown".to_owned(), |status| status.to_string()),
            output: String::from_utf8_lossy(&output[output.len().saturating_sub(1024)..])
                .trim()
                .to_owned(),
        }),
    }
}

/// Reads until the end, or until that is enough; tells which. Longer output is cut off.
async fn read_until(
    mut output: pipe::Receiver,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<(Vec<u8>, bool)> {
    let mut read = Vec::new();
    while read.len() < MAX_DOCUMENT {
        if output.read_buf(&mut read).await? == 0 {
            return Ok((read, false));
        }
        if is_enough(&read) {
            return Ok((read, true));
        }
    }
    Ok((read, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let layout = Layout::new(state.path());
        layout.prepare().unwrap();
        let path = layout.sockets().join("x");
        let address = format!("unix://{}", path.display());
        let around = Surroundings {
            layout,
            grpc: PathBuf::new(),
            ttrpc: PathBuf::new(),
            reaper: Reaper::default(),
            debug: false,
        };
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        around.remove_socket(Some(&address)).await;
        assert!(path.exists());
        drop(listener);
        around.remove_socket(Some(&address)).await;
        assert!(!path.exists());
    }

    #[test]
    fn a_runtime_name_leads_to_the_first_program_found() {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directories = || [near.path().to_owned(), far.path().to_owned()].into_iter();
        let error = resolve_in("io.containerd.runc.v2", directories()).unwrap_err();
        assert!(error.to_string().contains("containerd-shim-runc-v2"), "{error}");
        let program = far.path().join("containerd-shim-runc-v2");
        std::fs::write(&program, "").unwrap();
        assert_eq!(resolve_in("io.containerd.runc.v2", directories()).unwrap(), program);
        let near_program = near.path().join("containerd-shim-runc-v2");
        std::fs::write(&near_program, "").unwrap();
        assert_eq!(resolve_in("io.containerd.runc.v2", directories()).unwrap(), near_program);
        assert_eq!(resolve_in("/bin/x", directories()).unwrap(), Path::new("/bin/x"));
        for bad in ["", "runc", "a.", "a.b/c", "io../x.v1/"] {
            assert!(matches!(resolve_in(bad, directories()), Err(Error::RuntimeName(_))), "{bad}");
        }
    }
}
