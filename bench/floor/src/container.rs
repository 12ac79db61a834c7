//! One run: what the kernel does for a container, and nothing else.

use crate::cgroups;
use crate::network::Bridge;
use crate::steps::Steps;
use anyhow::{Context, Result, bail};
use kernel_sys::{
    CloneFlags, Cloned, NamespaceFlags, PidfdNamespace, clone3, execve, exit_now, namespace_of,
    setns, unshare,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_bind, mount_remount,
    move_mount, unmount,
};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The steps that the child times, in its order.
const CHILD_STEPS: [&str; 4] =
    ["cgroups attached", "network and cgroup namespace joined", "mounts", "pivot"];

pub(crate) struct Container<'a> {
    pub(crate) lower: &'a Path,
    pub(crate) scratch: &'a Path,
    pub(crate) run: usize,
    pub(crate) bridge: &'a Bridge,
}

/// A point in time that parent and child agree on.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What the child needs.
struct Parts {
    root: PathBuf,
    overlay: OwnedFd,
    network: File,
    hierarchies: Vec<PathBuf>,
    cgroups: Vec<PathBuf>,
}

impl Container<'_> {
    /// Runs `true` once and adds the times.
    pub(crate) fn run(&self, steps: &mut Steps) -> Result<()> {
        let mut last = now();
        let mut lap = |steps: &mut Steps, step| {
            let time = now();
            steps.add(step, time - last);
            last = now();
        };
        let network = self.bridge.new_namespace().context("new network namespace")?;
        lap(steps, "new network namespace");
        self.bridge.connect(&network, self.run).context("veth")?;
        lap(steps, "veth, address, route");
        let directory = self.scratch.join(self.run.to_string());
        let overlay = self.overlay(&directory).context("overlay")?;
        lap(steps, "overlay");
        let hierarchies = cgroups::hierarchies()?;
        let cgroups = cgroups::create(&hierarchies, self.run)?;
        lap(steps, "cgroups made");

        let root = directory.join("root");
        let parts = Parts { root, overlay, network, hierarchies, cgroups };
        let (mut reader, mut writer) = std::io::pipe()?;
        let cloning = now();
        let flags = CloneFlags::MOUNT | CloneFlags::PID | CloneFlags::UTS | CloneFlags::IPC;
        let (pid, pidfd) = match clone3(flags, None).context("clone")? {
            Cloned::Child => {
                let _ = parts.become_container(&mut writer).inspect_err(|error| {
                    eprintln!("floor: {error:#}");
                });
                exit_now(1);
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop(writer);
        // Whoever holds them last pays for their end: not the exit that is waited for.
        let held = [PidfdNamespace::Mount, PidfdNamespace::Ipc, PidfdNamespace::Uts]
            .map(|kind| namespace_of(pidfd.as_fd(), kind));
        let pid = Pid::from_raw(pid).context("pid")?;
        let (_, status) =
            waitpid(Some(pid), WaitOptions::empty())?.context("wait for the container")?;
        let exited = now();
        if status.exit_status() != Some(0) {
            bail!("the container ended with {status:?}");
        }
        add_child_times(&mut reader, steps, cloning, exited)?;

        let start = now();
        cgroups::remove(&parts.cgroups)?;
        steps.add("cgroups removed", now() - start);
        let start = now();
        drop(held);
        drop(parts);
        steps.add("namespaces dropped", now() - start);
        fs::remove_dir_all(directory)?;
        Ok(())
    }

    fn overlay(&self, directory: &Path) -> Result<OwnedFd> {
        for name in ["", "upper", "work", "root"] {
            fs::create_dir(directory.join(name))?;
        }
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(context.as_fd(), "lowerdir", self.lower)?;
        fsconfig_set_string(context.as_fd(), "upperdir", directory.join("upper"))?;
        fsconfig_set_string(context.as_fd(), "workdir", directory.join("work"))?;
        fsconfig_create(context.as_fd())?;
        Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
    }
}

/// The child sends the end of each of its steps, the start of the first before them.
fn add_child_times(
    reader: &mut impl Read,
    steps: &mut Steps,
    cloning: Duration,
    exited: Duration,
) -> Result<()> {
    let mut times = [Duration::ZERO; CHILD_STEPS.len() + 1];
    for time in &mut times {
        let mut bytes = [0; 16];
        reader.read_exact(&mut bytes).context("read the child's times")?;
        let nanoseconds = u64::try_from(u128::from_ne_bytes(bytes)).context("a time")?;
        *time = Duration::from_nanos(nanoseconds);
    }
    steps.add("clone into namespaces", times[0] - cloning);
    for (step, pair) in CHILD_STEPS.iter().zip(times.windows(2)) {
        steps.add(step, pair[1] - pair[0]);
    }
    steps.add("exec to exit", exited - times[CHILD_STEPS.len()]);
    Ok(())
}

impl Parts {
    fn become_container(&self, writer: &mut impl Write) -> Result<()> {
        let mut times = vec![now()];
        cgroups::attach(&self.cgroups).context("attach to cgroups")?;
        times.push(now());
        setns(self.network.as_fd(), NamespaceFlags::NETWORK)?;
        unshare(NamespaceFlags::CGROUP)?;
        times.push(now());
        self.mount_everything().context("mounts")?;
        times.push(now());
        std::env::set_current_dir(&self.root)?;
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir("/")?;
        times.push(now());
        for time in times {
            writer.write_all(&time.as_nanos().to_ne_bytes())?;
        }
        let arguments = [CString::new("true")?];
        execve(c"/bin/true", &arguments, &[]).context("exec")?;
        Ok(())
    }

    /// What Docker gives every container.
    fn mount_everything(&self) -> Result<()> {
        move_mount(
            self.overlay.as_fd(),
            "",
            CWD,
            &self.root,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?;
        let root = |path: &str| self.root.join(path);
        let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let new = |kind: &str, target: &str, flags, data: &str| {
            let data = CString::new(data).expect("data without zeros");
            mount(kind, root(target), kind, flags, Some(data.as_c_str()))
                .with_context(|| format!("mount {target}"))
        };
        new("proc", "proc", safe, "")?;
        new("tmpfs", "dev", MountFlags::NOSUID, "mode=755,size=65536k")?;
        for folder in ["dev/pts", "dev/shm", "dev/mqueue"] {
            fs::create_dir(root(folder))?;
        }
        let pts = "newinstance,ptmxmode=0666,mode=0620,gid=5";
        new("devpts", "dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, pts)?;
        new("sysfs", "sys", safe | MountFlags::RDONLY, "")?;
        new("tmpfs", "dev/shm", safe, "mode=1777,size=65536k")?;
        new("mqueue", "dev/mqueue", safe, "")?;
        for (name, major, minor) in [
            ("null", 1, 3),
            ("zero", 1, 5),
            ("full", 1, 7),
            ("random", 1, 8),
            ("urandom", 1, 9),
            ("tty", 5, 0),
        ] {
            let device = rustix::fs::makedev(major, minor);
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, root("dev").join(name), FileType::CharacterDevice, mode, device)?;
        }
        for name in ["hosts", "hostname", "resolv.conf"] {
            mount_bind("/etc/hostname", root("etc").join(name)).context("bind a file")?;
        }
        self.mount_cgroups()?;
        self.hide()
    }

    fn mount_cgroups(&self) -> Result<()> {
        let place = self.root.join("sys/fs/cgroup");
        let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("tmpfs", &place, "tmpfs", safe, Some(c"mode=755"))?;
        for (hierarchy, cgroup) in self.hierarchies.iter().zip(&self.cgroups) {
            let target = place.join(hierarchy.file_name().context("hierarchy")?);
            fs::create_dir(&target)?;
            mount_bind(cgroup, &target)?;
            mount_remount(&target, MountFlags::BIND | MountFlags::RDONLY | safe, "")?;
        }
        mount_remount(&place, MountFlags::BIND | MountFlags::RDONLY | safe, "")?;
        Ok(())
    }

    /// Docker's masked and read-only paths.
    fn hide(&self) -> Result<()> {
        let proc = self.root.join("proc");
        for file in ["kcore", "keys", "timer_list", "sched_debug", "latency_stats"] {
            if proc.join(file).exists() {
                mount_bind(self.root.join("dev/null"), proc.join(file))?;
            }
        }
        for folder in [proc.join("acpi"), proc.join("scsi"), self.root.join("sys/firmware")] {
            if folder.exists() {
                mount("tmpfs", folder, "tmpfs", MountFlags::RDONLY, None)?;
            }
        }
        for path in ["bus", "fs", "irq", "sys", "sysrq-trigger"] {
            let path = proc.join(path);
            if path.exists() {
                mount_bind(&path, &path)?;
                mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY, "")?;
            }
        }
        Ok(())
    }
}
