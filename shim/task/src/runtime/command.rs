//! An OCI runtime behind runc's command line (runc, crun, youki, `gantry-runtime`).

use crate::attachments::listen_in;
use crate::worker::{Failure, Made};
use base_errors::Kind;
use base_oci::runtime::{Process, Resources};
use base_telemetry::{TRACEPARENT_VARIABLE, TraceContext};
use contracts_runtime_api::{Stats, texts};
use contracts_shim_api::options::{CheckpointOptions, Options};
use contracts_shim_api::types::Mount;
use runtime_container::Stdio;
use rustix::fd::OwnedFd;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio as Inherited;

/// Most of a log or output that is read.
const MAX_OUTPUT: u64 = 1 << 20;
/// The socket on which a runtime hands over a terminal.
const CONSOLE_SOCKET: &str = "console.sock";

/// A runtime's program.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    binary: PathBuf,
    root: PathBuf,
    systemd_cgroup: bool,
    no_pivot: bool,
    no_new_keyring: bool,
    /// The request's trace, for the program's environment.
    trace: Option<TraceContext>,
}

/// A directory for one call's files, removed after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(root: &Path) -> io::Result<Self> {
        let path = root.join(format!(".call-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Command {
    pub(crate) fn new(options: &Options, root: PathBuf) -> Self {
        Self {
            binary: PathBuf::from(&options.binary_name),
            root,
            systemd_cgroup: options.systemd_cgroup,
            no_pivot: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
            trace: None,
        }
    }

    /// The same, for a request of this trace.
    pub(crate) fn traced(&self, trace: &TraceContext) -> Self {
        Self { trace: Some(*trace), ..self.clone() }
    }

    pub(crate) fn create(
        &self,
        bundle: &Path,
        id: &str,
        mounts: &[Mount],
        stdio: Stdio,
    ) -> Result<Made, Failure> {
        let bundle_text = bundle.to_string_lossy();
        let mut words = vec!["create", "--bundle", &bundle_text];
        if self.no_pivot {
            words.push("--no-pivot");
        }
        if self.no_new_keyring {
            words.push("--no-new-keyring");
        }
        self.launch_on_root(bundle, mounts, || self.launch(&words, &[id], stdio))
    }

    /// Such a runtime takes a root file system that is there, so it is mounted on the host.
    fn launch_on_root(
        &self,
        bundle: &Path,
        mounts: &[Mount],
        launch: impl FnOnce() -> Result<Made, Failure>,
    ) -> Result<Made, Failure> {
        let rootfs = bundle.join("rootfs");
        let made = mounts
            .iter()
            .try_for_each(|mount| mount_on_host(&rootfs, mount))
            .map_err(|error| Failure::from_io("mount the root file system", &error))
            .and_then(|()| launch());
        if made.is_err() && !mounts.is_empty() {
            unmount(bundle);
        }
        made
    }

    pub(crate) fn checkpoint(
        &self,
        id: &str,
        image: &Path,
        work: &Path,
        options: &CheckpointOptions,
    ) -> Result<Made, Failure> {
        let (image, work) = (image.to_string_lossy(), work.to_string_lossy());
        let mut words = vec!["checkpoint", "--image-path", &image, "--work-path", &work];
        for (flag, is_wanted) in [
            ("--leave-running", !options.exit),
            ("--tcp-established", options.open_tcp),
            ("--ext-unix-sk", options.external_unix_sockets),
            ("--shell-job", options.terminal),
            ("--file-locks", options.file_locks),
        ] {
            words.extend(is_wanted.then_some(flag));
        }
        for (flag, value) in [
            ("--parent-path", &options.parent_path),
            ("--manage-cgroups-mode", &options.cgroups_mode),
        ] {
            if !value.is_empty() {
                words.extend([flag, value.as_str()]);
            }
        }
        for namespace in &options.empty_namespaces {
            words.extend(["--empty-ns", namespace]);
        }
        words.push(id);
        self.run(&words)
    }

    pub(crate) fn restore(
        &self,
        bundle: &Path,
        id: &str,
        mounts: &[Mount],
        stdio: Stdio,
        image: &Path,
        work: &Path,
    ) -> Result<Made, Failure> {
        let [bundle_text, image, work] = [bundle, image, work].map(Path::to_string_lossy);
        let mut words = vec!["restore", "--detach", "--no-subreaper", "--bundle", &bundle_text];
        words.extend(["--image-path", &image, "--work-path", &work]);
        if self.no_pivot {
            words.push("--no-pivot");
        }
        self.launch_on_root(bundle, mounts, || self.launch(&words, &[id], stdio))
    }

    pub(crate) fn exec(&self, id: &str, process: &Process, stdio: Stdio) -> Result<Made, Failure> {
        let scratch = self.scratch()?;
        let file = scratch.file("process.json");
        let text = serde_json::to_vec(process).expect("an OCI process always serializes");
        std::fs::write(&file, text)
            .map_err(|error| Failure::from_io("write the exec's process", &error))?;
        let file = file.to_string_lossy();
        self.launch(&["exec", "--detach", "--process", &file], &[id], stdio)
    }

    pub(crate) fn delete(&self, bundle: &Path, id: &str) -> Result<Made, Failure> {
        let deleted = self.run(&["delete", "--force", id]);
        unmount(bundle);
        deleted
    }

    pub(crate) fn update(&self, id: &str, resources: &Resources) -> Result<Made, Failure> {
        let scratch = self.scratch()?;
        let file = scratch.file("resources.json");
        let text = serde_json::to_vec(resources).expect("OCI resources always serialize");
        std::fs::write(&file, text)
            .map_err(|error| Failure::from_io("write the resources", &error))?;
        self.run(&["update", "--resources", &file.to_string_lossy(), id])
    }

    pub(crate) fn stats(&self, id: &str) -> Result<Stats, Failure> {
        #[derive(Deserialize)]
        struct Event {
            data: Stats,
        }
        let event: Event = self.json(&["events", "--stats", id])?;
        let unified = !Path::new("/sys/fs/cgroup/memory").exists();
        Ok(event.data.from_printed(unified))
    }

    /// Runs a subcommand that says nothing.
    pub(crate) fn run(&self, words: &[&str]) -> Result<Made, Failure> {
        let scratch = self.scratch()?;
        let mut command = self.command(&scratch, words);
        command.stdout(Inherited::null());
        self.wait(&scratch, &mut command)?;
        Ok(Made::default())
    }

    /// Runs a subcommand that prints JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T, Failure> {
        let scratch = self.scratch()?;
        let file = scratch.file("output");
        let output = std::fs::File::create(&file)
            .map_err(|error| Failure::from_io("make the runtime's output", &error))?;
        let mut command = self.command(&scratch, words);
        command.stdout(output);
        self.wait(&scratch, &mut command)?;
        serde_json::from_str(&read(&file)).map_err(|error| Failure {
            kind: Kind::Internal,
            text: format!("parse the runtime's output: {error}"),
        })
    }

    /// Runs `create` or `exec`, which leave a process behind.
    fn launch(&self, words: &[&str], last: &[&str], stdio: Stdio) -> Result<Made, Failure> {
        let scratch = self.scratch()?;
        let pid_file = scratch.file("pid");
        let mut command = self.command(&scratch, words);
        command.arg("--pid-file").arg(&pid_file);
        let mut console = None;
        match stdio {
            Stdio::Descriptors { stdin, stdout, stderr } => {
                command.stdin(stdin).stdout(stdout).stderr(stderr);
            }
            _ => {
                let listener = listen_in(&scratch.0, CONSOLE_SOCKET)
                    .map_err(|errno| Failure::from_io("make a console socket", &errno.into()))?;
                command.arg("--console-socket").arg(scratch.file(CONSOLE_SOCKET));
                command.stdout(Inherited::null()).stderr(Inherited::null());
                console = Some(listener);
            }
        }
        command.args(last);
        self.wait(&scratch, &mut command)?;
        let console = console.map(|listener| receive_console(&listener)).transpose()?;
        let pid = read(&pid_file).trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure {
            kind: Kind::Internal,
            text: "the runtime wrote no pid".to_owned(),
        })?;
        // A process that has ended already has no pidfd, and needs none.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
        Ok(Made { pid: pid.as_raw_nonzero().get(), pidfd, console, ..Made::default() })
    }

    fn command(&self, scratch: &Scratch, words: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.binary);
        command.arg("--root").arg(&self.root).arg("--log").arg(scratch.file("log"));
        command.args(["--log-format", "json"]).stdin(Inherited::null()).stderr(Inherited::null());
        if let Some(trace) = self.trace {
            command.env(TRACEPARENT_VARIABLE, trace.to_string());
        }
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.args(words);
        command
    }

    fn wait(&self, scratch: &Scratch, command: &mut std::process::Command) -> Result<(), Failure> {
        let status = command
            .status()
            .map_err(|error| Failure::from_io(&format!("run {}", self.binary.display()), &error))?;
        if status.success() {
            return Ok(());
        }
        let text = last_error(&read(&scratch.file("log")))
            .unwrap_or_else(|| format!("{} failed: {status}", self.binary.display()));
        let is_missing = text.contains(texts::DOES_NOT_EXIST);
        let kind = if is_missing { Kind::NotFound } else { Kind::Internal };
        Err(Failure { kind, text })
    }

    fn scratch(&self) -> Result<Scratch, Failure> {
        Scratch::new(&self.root)
            .map_err(|error| Failure::from_io("make a directory for the runtime's call", &error))
    }
}

/// The terminal's master, which the runtime has sent by now.
fn receive_console(listener: &OwnedFd) -> Result<OwnedFd, Failure> {
    let failed = |error: io::Error| Failure::from_io("receive the terminal", &error);
    let socket = rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC)
        .map_err(|errno| failed(errno.into()))?;
    let mut name = [0_u8; 4096];
    let (_, mut descriptors) =
        kernel_sys::message::receive(&socket, &mut name).map_err(|errno| failed(errno.into()))?;
    descriptors.pop().ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))
}

/// The last error in a runtime's JSON log.
fn last_error(log: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    log.lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .find(|line| line.level == "error" || line.level == "fatal")
        .map(|line| line.msg)
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(MAX_OUTPUT).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn mount_on_host(rootfs: &Path, mount: &Mount) -> io::Result<()> {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in &mount.options {
        match option.as_str() {
            "ro" => flags |= MountFlags::RDONLY,
            "bind" => flags |= MountFlags::BIND,
            "rbind" => flags |= MountFlags::BIND | MountFlags::REC,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "rw" | "defaults" => {}
            other => data.push(other),
        }
    }
    let data = std::ffi::CString::new(data.join(","))?;
    std::fs::create_dir_all(rootfs)?;
    rustix::mount::mount(&mount.source, rootfs, &mount.fstype, flags, Some(data.as_c_str()))?;
    if flags.contains(MountFlags::BIND | MountFlags::RDONLY) {
        // A bind mount takes its flags only when it is changed afterwards (mount(2)).
        rustix::mount::mount_remount(rootfs, flags, c"")?;
    }
    Ok(())
}

fn unmount(bundle: &Path) {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    while rustix::mount::unmount(bundle.join("rootfs"), flags).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let log = concat!(
            r#"{"level":"error","msg":"first","time":"t"}"#,
            "\n",
            r#"{"level":"error","msg":"container does not exist","time":"t"}"#,
            "\n",
            r#"{"level":"info","msg":"bye","time":"t"}"#,
            "\nnoise\n"
        );
        assert_eq!(last_error(log).as_deref(), Some("container does not exist"));
        assert_eq!(last_error(""), None);
    }
}
