//! Runtime and shim on the kernels of other machines: `cargo xtask vm --machine NAME` builds what these
//! tests want, and runs them.

#![forbid(unsafe_code)]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests_harness::output_of;
use tests_vm::{Machine, Processor, bundle};

const LIFE: &str = include_str!("../guest/life.sh");
/// Docker's own policy, of the dockerd that ours is compared with.
const POLICY: &str = "github.com/moby/profiles/seccomp@v0.2.4";
/// What Docker allows a container.
const CAPABILITIES: [&str; 3] = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_CHROOT"];

/// There is busybox alone in the machine, no user's tools and no other runtime. Before Linux 6.2 whoever
/// enters a cpuset loses the CPUs that it had chosen, before 6.3 a tmpfs cannot be id-mapped. The last ones
/// take longer than all others: everybody's death at each step, and floods of lines.
const SKIPPED: [&str; 9] = [
    "rootless::",
    "a_network_device_moves_in",
    "other_runtimes_programs",
    "cpus_that_are_asked_for",
    "an_id_mapped_mount_shows",
    "ps_takes",
    "deaths::",
    "a_slow_client_gets_all_of_a_flood",
    "a_log_is_whole_although_its_disk",
];

/// The kernel for RISC-V runs no programs of 32 bits, and forgets `PER_LINUX32` at `execve`.
const SKIPPED_ON_RISCV64: &str = " --skip a_further_process_has_the_containers_adjustments";

/// What `cargo xtask vm --machine` has built.
fn built(processor: Processor) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two deep");
    root.join("target/foreign").join(processor.name())
}

/// Runs the tests of these packages in a machine, where they find the programs at the places that they
/// were compiled with.
fn pass(processor: Processor, packages: &[&str]) {
    let built = built(processor);
    let patterns: String =
        packages.iter().map(|package| format!(" /payload/tests/{package}-*")).collect();
    let mut skipped: String = SKIPPED.iter().map(|name| format!(" --skip {name}")).collect();
    if processor == Processor::Riscv64 {
        skipped.push_str(SKIPPED_ON_RISCV64);
    }
    let script = format!(
        r#"export TMPDIR=/var/tmp
        while read path name; do
            mkdir -p "${{path%/*}}" && ln -s "/payload/gantry/$name" "$path"
        done < /payload/tests/programs
        failed=
        # The names of this one's layers are longer than kernels before 6.8 can be told.
        case $(uname -r) in 6.1.*) rm /payload/tests/runtime-container-overlay ;; esac
        for test in{patterns}; do
            echo "=== ${{test##*/}}"
            "$test" --color never --test-threads 2{skipped} || failed="$failed ${{test##*/}}"
        done
        echo "failed:$failed""#
    );
    let machine = Machine::bare_of(processor).with("gantry", &built.join("gantry"));
    let printed = machine.with("tests", &built.join("tests")).run(&script);
    assert!(printed.contains("test result: ok"), "no test was run:\n{printed}");
    assert!(printed.ends_with("failed:\n"), "{printed}");
}

/// Docker's default policy, resolved as dockerd does it.
fn policy(processor: Processor) -> Value {
    let mut download = Command::new("go");
    let answer = output_of(download.args(["mod", "download", "-json", POLICY]));
    let answer: Value = serde_json::from_str(&answer).expect("go's answer");
    let folder = Path::new(answer["Dir"].as_str().expect("the module's folder"));
    let text = fs::read(folder.join("default.json")).expect("read the policy");
    let mut policy: Value = serde_json::from_slice(&text).expect("a policy");

    let (machine, native) = match processor {
        Processor::X86_64 => ("amd64", "SCMP_ARCH_X86_64"),
        Processor::Aarch64 => ("arm64", "SCMP_ARCH_AARCH64"),
        Processor::Riscv64 => ("riscv64", "SCMP_ARCH_RISCV64"),
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let map = list(&policy["archMap"].take());
    let own = map.iter().find(|entry| entry["architecture"] == native).expect("this machine");
    let architectures = [vec![json!(native)], list(&own["subArchitectures"])].concat();
    let has = |name: &Value| CAPABILITIES.iter().any(|capability| name == capability);
    let mut calls = list(&policy["syscalls"].take());
    calls.retain(|rule| {
        let machines = |of: &str| list(&rule[of]["arches"]);
        let capabilities = |of: &str| list(&rule[of]["caps"]);
        let wanted = machines("includes");
        (wanted.is_empty() || wanted.contains(&json!(machine)))
            && !machines("excludes").contains(&json!(machine))
            && capabilities("includes").iter().all(has)
            && !capabilities("excludes").iter().any(has)
    });
    json!({
        "defaultAction": policy["defaultAction"],
        "defaultErrnoRet": policy["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": calls,
    })
}

/// A container under Docker's policy, masks and limits.
fn live(processor: Processor, further: &str) {
    let folder = tempfile::tempdir().expect("temporary folder");
    bundle::write(folder.path(), "/test/box");
    let path = folder.path().join("config.json");
    let mut config: Value =
        serde_json::from_slice(&fs::read(&path).expect("read config")).expect("a configuration");
    config["linux"]["seccomp"] = policy(processor);
    config["linux"]["maskedPaths"] = json!(["/proc/kcore", "/proc/keys", "/sys/firmware"]);
    config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set] = json!(CAPABILITIES);
    }
    fs::write(&path, config.to_string()).expect("write config");
    let driver = format!(
        r#"
        group=/sys/fs/cgroup/test/box
        # The bundle came with the busybox of the machine that it was written on.
        cp /bin/busybox* /payload/bundle/rootfs/bin/
        create() {{ gantry-runtime --root /run/runtime create --bundle /payload/bundle "$1"; }}
        inside() {{ later exec box busybox "$@" 2>&1 || echo "ended with $?"; }}
        at_start() {{
            files_at_start
            expect machine "$(inside uname -m)" {}
            expect filtered "$(inside grep Seccomp: /proc/self/status)" "$(printf 'Seccomp:\t2')"
            # The kernel lets everybody make a user namespace, the policy nobody.
            unshare -U true
            has policy "$(inside unshare -U true)" "Operation not permitted"
            expect masked "$(inside wc -c /proc/kcore)" "0 /proc/kcore"
            has shielded "$(inside sh -c 'echo 1 > /proc/sys/vm/overcommit_memory')" "Read-only file system"
            has refused "$(inside chroot /nowhere)" "No such file"
            has events "$(later events --stats box)" '"limit":33554432'
            {further}
        }}
        after_update() {{ files_after_update; }}
        at_end() {{ expect group "$(ls -d $group 2>/dev/null || true)" ""; }}
        "#,
        processor.name(),
    );
    let machine = Machine::bare_of(processor).with("gantry", &built(processor).join("gantry"));
    let printed = machine.with("bundle", folder.path()).run(&(driver + LIFE));
    assert!(printed.ends_with("to the end\n"), "{printed}");
}

/// One module a machine, each with the same tests: their path is what `--machine` selects.
macro_rules! machines {
    ($($name:ident: $processor:ident, $further:literal;)+) => { $(
        mod $name {
            use super::Processor::$processor;

            #[test]
            #[ignore = "cargo xtask vm --machine builds what it wants"]
            fn what_is_next_to_the_kernel_passes_its_tests() {
                super::pass($processor, &[
                    "base-files", "kernel-paths", "kernel-sys", "runtime-cgroups", "runtime-confine",
                    "runtime-container", "runtime-init", "runtime-rootfs", "shim-task",
                ]);
            }

            #[test]
            #[ignore = "cargo xtask vm --machine builds what it wants"]
            fn the_runtime_passes_its_tests() {
                super::pass($processor, &["runtime-main"]);
            }

            #[test]
            #[ignore = "cargo xtask vm --machine builds what it wants"]
            fn the_shim_passes_its_tests() {
                super::pass($processor, &["shim-main"]);
            }

            #[test]
            #[ignore = "cargo xtask vm --machine builds what it wants"]
            fn a_container_lives_under_dockers_policy() {
                super::live($processor, $further);
            }
        }
    )+ };
}

machines! {
    aarch64: Aarch64, r#"
        # A program of 32 bits is under the same policy.
        expect narrow "$(later exec box busybox-armhf echo runs)" runs
        busybox-armhf unshare -U true
        has narrow "$(later exec box busybox-armhf unshare -U true 2>&1 || true)" "not permitted"
    "#;
    riscv64: Riscv64, "";
}
