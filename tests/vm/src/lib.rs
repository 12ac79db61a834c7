//! Virtual machines with a pure cgroup v2, for what the machine that runs the tests does not have:
//! a small Debian with Debian's cloud kernel under qemu, with systemd as its init ([`Machine::systemd`])
//! or with none ([`Machine::bare`]). Kernel and disk are made once and kept; a boot takes seconds even
//! without hardware support, so that every test has a machine of its own. Machines of other
//! [processors](Processor) have busybox in Debian's place.
//!
//! `guest/` holds what runs inside.

#![forbid(unsafe_code)]

pub mod bundle;
mod criu;
mod image;
mod processor;

pub use processor::Processor;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests_harness::{output_of, programs, wait};

/// The line before what the script prints.
const BEGUN: &str = "gantry-vm: begun\n";
/// What the last line begins with when the script came to its end.
const FINISHED: &str = "gantry-vm: finished with ";
/// How long a boot may take, many times what it does.
const BOOT_LIMIT: Duration = Duration::from_secs(150);
/// How often a machine is booted that does not come up: an emulated one hangs once in hundreds.
const BOOTS: usize = 3;
/// How long a machine may run.
const TIME_LIMIT: Duration = Duration::from_secs(1200);
/// An emulated timer that is late on a busy machine is no reason not to boot.
const KERNEL_ARGUMENTS: &str = "quiet panic=-1 no_timer_check";
/// Memory of a machine, in MiB.
const MEMORY: &str = "1024";
/// Room for the payload's file system itself, in MiB.
const PAYLOAD_SLACK: u64 = 32;

/// A machine that is not running yet.
pub struct Machine {
    folder: tempfile::TempDir,
    kernel_arguments: &'static str,
    processor: Processor,
}

impl Machine {
    /// A machine whose init is the test's script.
    #[must_use]
    pub fn bare() -> Self {
        Self::bare_of(Processor::X86_64)
    }

    /// The same with another processor, and busybox alone.
    #[must_use]
    pub fn bare_of(processor: Processor) -> Self {
        let new = Self::new("gantry_init=/payload/machine/bare-init cgroup_no_v1=all");
        Self { processor, ..new }
    }

    /// The same with SELinux in the place of AppArmor, which Debian's kernel starts otherwise.
    #[must_use]
    pub fn bare_with_selinux() -> Self {
        Self::new(
            "gantry_init=/payload/machine/bare-init cgroup_no_v1=all security=selinux enforcing=0",
        )
    }

    /// A machine with systemd and D-Bus.
    #[must_use]
    pub fn systemd() -> Self {
        Self::new(
            "gantry_init=/lib/systemd/systemd systemd.unit=gantry-test.service cgroup_no_v1=all",
        )
    }

    /// A machine with systemd that keeps its cgroups in hierarchies of v1.
    #[must_use]
    pub fn systemd_on_cgroup_v1() -> Self {
        Self::new(
            "gantry_init=/lib/systemd/systemd systemd.unit=gantry-test.service \
             systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
        )
    }

    fn new(kernel_arguments: &'static str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("gantry-vm-").tempdir().expect("temporary folder");
        let machine = folder.path().join("payload/machine");
        fs::create_dir_all(&machine).expect("create folder");
        fs::write(machine.join("run"), include_str!("../guest/run")).expect("write run");
        let assertions = include_str!("../guest/assertions.sh");
        fs::write(machine.join("assertions"), assertions).expect("write assertions");
        let init = machine.join("bare-init");
        fs::write(&init, include_str!("../guest/bare-init")).expect("write bare-init");
        let _ = output_of(Command::new("chmod").arg("755").arg(init));
        Self { folder, kernel_arguments, processor: Processor::X86_64 }
    }

    /// Adds a file or folder, as `/payload/NAME`.
    #[must_use]
    pub fn with(self, name: &str, source: &Path) -> Self {
        let target = self.folder.path().join("payload").join(name);
        let _ = output_of(Command::new("cp").args(["-a", "-H"]).arg(source).arg(target));
        self
    }

    /// Adds our programs, where the script finds them.
    #[must_use]
    pub fn with_programs(self) -> Self {
        self.with("gantry", &programs())
    }

    /// Adds CRIU, where the script and our programs find it.
    #[must_use]
    pub fn with_criu(self) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        criu::copy_programs(folder.path());
        self.with("criu", folder.path())
    }

    /// Boots it, runs a shell script in it, and returns what that printed.
    ///
    /// # Panics
    /// When the machine does not come to the script's end in time, or the script fails.
    #[must_use]
    pub fn run(self, script: &str) -> String {
        let folder = self.folder.path();
        fs::write(folder.join("payload/machine/script"), script).expect("write script");
        let payload = self.payload();
        let running = (1..=BOOTS).find_map(|boot| {
            let machine = Running::start(&self, &payload);
            let printed = || machine.printed();
            let is_up = || printed().contains(BEGUN);
            let _ = wait::whether(BOOT_LIMIT, || is_up() || machine.has_ended());
            if is_up() {
                return Some(machine);
            }
            eprintln!("boot {boot} of {BOOTS} did not come up:\n{}", printed());
            None
        });
        let machine = running.unwrap_or_else(|| panic!("no boot of {BOOTS} came to its end"));
        wait::until("the machine to switch off", TIME_LIMIT, || {
            if machine.has_ended() { Ok(()) } else { Err(machine.printed()) }
        });
        let printed = machine.printed();
        let errors = fs::read_to_string(folder.join("errors")).unwrap_or_default();
        let (before, status) =
            printed.split_once(FINISHED).unwrap_or_else(|| panic!("no end:\n{printed}\n{errors}"));
        assert!(status.starts_with("0\n"), "the script failed:\n{printed}");
        before.split_once(BEGUN).map_or(before, |(_, after)| after).to_owned()
    }

    /// The disk with the payload.
    fn payload(&self) -> PathBuf {
        let (folder, disk) =
            (self.folder.path().join("payload"), self.folder.path().join("payload.img"));
        let size = output_of(Command::new("du").arg("-sm").arg(&folder));
        let size: u64 = size.split_whitespace().next().and_then(|n| n.parse().ok()).expect("du");
        let size = format!("{}M", size + size / 8 + PAYLOAD_SLACK);
        let mut mkfs = Command::new("mkfs.ext4");
        let _ = output_of(
            mkfs.args(["-q", "-O", "^has_journal", "-d"]).arg(folder).arg(&disk).arg(size),
        );
        disk
    }
}

/// A machine that was started; dropping it switches it off.
struct Running {
    process: RefCell<Child>,
    serial: PathBuf,
}

impl Running {
    fn start(machine: &Machine, payload: &Path) -> Self {
        let folder = machine.folder.path();
        let (processor, serial) = (machine.processor, folder.join("serial"));
        let image = image::make(processor);
        let (program, package) = processor.emulator();
        let process = Command::new(program)
            .args(processor.arguments())
            // Software emulation: a /dev/kvm that is itself in a virtual machine may hang.
            .args(["-accel", "tcg", "-m", MEMORY, "-smp", "2"])
            .args(["-nodefaults", "-no-reboot", "-display", "none"])
            .arg("-kernel")
            .arg(image.join("vmlinuz"))
            .arg("-initrd")
            .arg(image.join("initramfs"))
            .arg("-append")
            .arg(format!(
                "console={} {KERNEL_ARGUMENTS} {}",
                processor.console(),
                machine.kernel_arguments
            ))
            .args(["-drive", &disk(&image.join("root.img"))])
            .args(["-drive", &disk(payload)])
            .arg("-serial")
            .arg(format!("file:{}", serial.display()))
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.join("errors")).expect("create file"))
            .spawn()
            .unwrap_or_else(|error| panic!("start {program} (apt-get install {package}): {error}"));
        Self { process: RefCell::new(process), serial }
    }

    /// What came through the serial line so far.
    fn printed(&self) -> String {
        let bytes = fs::read(&self.serial).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    fn has_ended(&self) -> bool {
        matches!(self.process.borrow_mut().try_wait(), Ok(Some(_)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// A disk of which every machine has a copy of its own, for as long as it runs.
fn disk(path: &Path) -> String {
    format!("file={},format=raw,if=virtio,snapshot=on,cache=unsafe", path.display())
}
