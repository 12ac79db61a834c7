//! The table of system call numbers that the seccomp compiler has, made from the kernel's headers.
//!
//! Two sources, which must agree: the headers that Debian packs for each architecture
//! (`tests/packages.txt`; Linux 6.1), and for calls that are newer the bindings of `linux-raw-sys`,
//! a crate of rustix's, which were made from the headers of Linux 6.17.

use crate::workspace::{metadata, root};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The table, from the root.
const TABLE: &str = "runtime/confine/src/seccomp/syscalls/table.rs";

/// From this number on a new call has the same number on every architecture (Linux 5.1).
const COMMON: i64 = 424;

/// Marks a call of x32 in its headers; the table is without.
const X32_BIT: i64 = 0x4000_0000;

/// An architecture, a column of the table.
struct Architecture {
    /// As Rust's `SCMP_ARCH_` constants are called in the table's module.
    name: &'static str,
    /// The folder of Debian's headers.
    headers: Option<&'static str>,
    /// The header there.
    file: &'static str,
    /// What the architecture's compiler defines.
    defines: &'static [&'static str],
    /// The folder of linux-raw-sys.
    bindings: Option<&'static str>,
    /// `AUDIT_ARCH_…` (linux/audit.h).
    audit: &'static str,
}

const ARCHITECTURES: [Architecture; 10] = [
    Architecture {
        name: "X86_64",
        headers: Some("/usr/include/x86_64-linux-gnu"),
        file: "asm/unistd_64.h",
        defines: &[],
        bindings: Some("x86_64"),
        audit: "X86_64",
    },
    Architecture {
        name: "X86",
        headers: Some("/usr/include/x86_64-linux-gnu"),
        file: "asm/unistd_32.h",
        defines: &[],
        bindings: Some("x86"),
        audit: "I386",
    },
    Architecture {
        name: "X32",
        headers: Some("/usr/include/x86_64-linux-gnu"),
        file: "asm/unistd_x32.h",
        defines: &["__X32_SYSCALL_BIT=0"],
        bindings: Some("x32"),
        audit: "X86_64",
    },
    Architecture {
        name: "AARCH64",
        headers: Some("/usr/aarch64-linux-gnu/include"),
        file: "asm/unistd.h",
        defines: &["__aarch64__"],
        bindings: Some("aarch64"),
        audit: "AARCH64",
    },
    Architecture {
        name: "ARM",
        headers: Some("/usr/arm-linux-gnueabihf/include"),
        file: "asm/unistd.h",
        defines: &["__arm__", "__ARM_EABI__"],
        bindings: Some("arm"),
        audit: "ARM",
    },
    Architecture {
        name: "RISCV64",
        headers: Some("/usr/riscv64-linux-gnu/include"),
        file: "asm/unistd.h",
        defines: &["__riscv", "__riscv_xlen=64", "__LP64__", "__SIZEOF_POINTER__=8"],
        bindings: Some("riscv64"),
        audit: "RISCV64",
    },
    Architecture {
        name: "LOONGARCH64",
        // Debian 12 has none.
        headers: None,
        file: "",
        defines: &[],
        bindings: Some("loongarch64"),
        audit: "LOONGARCH64",
    },
    Architecture {
        name: "PPC64LE",
        headers: Some("/usr/powerpc64le-linux-gnu/include"),
        file: "asm/unistd_64.h",
        defines: &[],
        bindings: Some("powerpc64"),
        audit: "PPC64LE",
    },
    Architecture {
        name: "S390X",
        headers: Some("/usr/s390x-linux-gnu/include"),
        file: "asm/unistd_64.h",
        defines: &[],
        bindings: Some("s390x"),
        audit: "S390X",
    },
    Architecture {
        name: "S390",
        headers: Some("/usr/s390x-linux-gnu/include"),
        file: "asm/unistd_32.h",
        defines: &[],
        // It has its sibling's new calls.
        bindings: None,
        audit: "S390",
    },
];

/// Newer than both sources: x86-64's entry in a program's probe (Linux 6.18).
const NEWEST: [(&str, &str, i64); 1] = [("X86_64", "uprobe", 336)];

/// `cargo xtask syscalls [--check]`: writes the table, or compares it with what would be written.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let text = table()?;
    let path = root().join(TABLE);
    match arguments {
        [] => std::fs::write(&path, text).with_context(|| format!("write {}", path.display())),
        [flag] if flag == "--check" => check_against(&path, &text),
        _ => bail!("usage: cargo xtask syscalls [--check]"),
    }
}

/// Compares the table with the headers.
pub(crate) fn check() -> Result<()> {
    run(&["--check".to_owned()])
}

fn check_against(path: &Path, text: &str) -> Result<()> {
    let there =
        std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if let Some((number, (old, new))) =
        (1..).zip(there.lines().zip(text.lines())).find(|(_, (old, new))| old != new)
    {
        bail!("{TABLE}:{number}: {old:?} should be {new:?}; `cargo xtask syscalls` writes it");
    }
    ensure!(there == text, "{TABLE} has not all calls; `cargo xtask syscalls` writes it");
    println!("syscalls: the table is that of the kernel's headers");
    Ok(())
}

/// The text of the table.
fn table() -> Result<String> {
    let bindings = bindings()?;
    let mut columns = Vec::new();
    for architecture in &ARCHITECTURES {
        columns.push(column(architecture, &bindings).context(architecture.name)?);
    }
    let audit = audit_values()?;
    let names: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    let list = ARCHITECTURES.iter().map(|a| a.name).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "//! System calls and their numbers, -1 where there is none. Generated from the kernel's headers by\n\
         //! `cargo xtask syscalls`, which also says from which; not to be edited.\n\
         //!\n\
         //! Columns: {list}.\n\n\
         /// How many architectures there are.\n\
         pub(super) const COLUMNS: usize = {};\n\n\
         /// The kernel's values of them, `AUDIT_ARCH_…`.\n\
         pub(super) const AUDIT: [u32; COLUMNS] = [\n",
        ARCHITECTURES.len(),
    );
    for value in audit {
        writeln!(text, "    {:#06x}_{:04x},", value >> 16, value & 0xffff)?;
    }
    writeln!(
        text,
        "];\n\n/// The calls by name.\n#[rustfmt::skip]\npub(super) static ROWS: [(&str, [i32; COLUMNS]); {}] = [",
        names.len()
    )?;
    for name in &names {
        let numbers = columns.iter().map(|c| c.get(*name).map_or("-1".into(), i64::to_string));
        writeln!(text, "    ({name:?}, [{}]),", numbers.collect::<Vec<_>>().join(", "))?;
    }
    text.push_str("];\n");
    let parts = parts(&names)?;
    write!(
        text,
        "\n/// Calls that some architectures make as parts of another one, whose first argument says which.\n\
         #[rustfmt::skip]\n\
         pub(super) const PARTS: [(&str, &str, u32); {}] = [\n",
        parts.len()
    )?;
    for (name, whole, number) in parts {
        writeln!(text, "    ({name:?}, {whole:?}, {number}),")?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// The parts of `socketcall` (`SYS_…` in linux/net.h) and of `ipc` (linux/ipc.h).
fn parts(calls: &BTreeSet<&String>) -> Result<Vec<(String, &'static str, i64)>> {
    let folder = Path::new("/usr/s390x-linux-gnu/include");
    let mut parts = Vec::new();
    for (whole, file, prefix) in [("socketcall", "linux/net.h", "SYS_"), ("ipc", "linux/ipc.h", "")]
    {
        let macros = macros(folder, file, &[])?;
        for name in macros.keys() {
            let part = name.strip_prefix(prefix).unwrap_or_default().to_lowercase();
            if calls.contains(&part) {
                parts.push((part, whole, evaluate(name, &macros)?));
            }
        }
    }
    parts.sort();
    Ok(parts)
}

/// The calls of an architecture.
fn column(architecture: &Architecture, bindings: &Path) -> Result<BTreeMap<String, i64>> {
    let mut calls = BTreeMap::new();
    if let Some(headers) = architecture.headers {
        calls = from_headers(Path::new(headers), architecture)?;
        ensure!(calls.len() > 250, "only {} calls in {headers}", calls.len());
    }
    let newer = match architecture.bindings {
        Some(folder) => from_bindings(&bindings.join(folder).join("general.rs"))?,
        None => {
            let sibling = from_bindings(&bindings.join("s390x/general.rs"))?;
            sibling.into_iter().filter(|(_, number)| *number >= COMMON).collect()
        }
    };
    for (name, number) in newer {
        let is_new = number >= COMMON || architecture.headers.is_none();
        match calls.get(&name) {
            Some(known) => ensure!(*known == number, "{name} is {known} and {number}"),
            // Calls of before 6.1 that only the bindings have are of another C library's making,
            // but for those that one architecture alone was given late.
            None if is_new || LATE.contains(&name.as_str()) => {
                calls.insert(name, number);
            }
            None => bail!("{name} ({number}) is in the bindings only"),
        }
    }
    calls.extend(
        NEWEST
            .iter()
            .filter(|(of, ..)| *of == architecture.name)
            .map(|(_, name, number)| ((*name).to_owned(), *number)),
    );
    Ok(calls)
}

/// Calls below [`COMMON`] that came after Linux 6.1.
const LATE: [&str; 2] = ["uretprobe", "riscv_hwprobe"];

/// What a header defines, evaluated by the preprocessor and by [`evaluate`].
fn from_headers(folder: &Path, architecture: &Architecture) -> Result<BTreeMap<String, i64>> {
    let macros = macros(folder, architecture.file, architecture.defines)?;
    let mut calls = BTreeMap::new();
    for name in macros.keys() {
        let Some(call) = call_name(name) else { continue };
        let number = evaluate(name, &macros).with_context(|| format!("value of {name}"))?;
        calls.insert(call.to_owned(), number);
    }
    Ok(calls)
}

/// The call that a macro names, if it names one.
fn call_name(name: &str) -> Option<&str> {
    let call = name.strip_prefix("__NR_").or_else(|| name.strip_prefix("__ARM_NR_"))?;
    let is_bound = ["syscalls", "arch_specific_syscall"].contains(&call);
    // Bases and masks are in capitals.
    (!is_bound && !call.starts_with(char::is_uppercase)).then_some(call)
}

/// The macros of a header: name and value.
fn macros(folder: &Path, file: &str, defines: &[&str]) -> Result<BTreeMap<String, String>> {
    let path = folder.join(file);
    ensure!(path.is_file(), "no {}: `./test` installs it", path.display());
    let mut command = Command::new("cc");
    // Nothing of this machine's: its compiler's own definitions go, too.
    command.args(["-E", "-dM", "-nostdinc", "-undef", "-x", "c", "-I"]).arg(folder);
    command.args(defines.iter().map(|define| format!("-D{define}"))).arg(&path);
    let output = command.output().context("start cc")?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

/// The value of a macro: numbers and other macros, put together with `+` or `|`.
fn evaluate(name: &str, macros: &BTreeMap<String, String>) -> Result<i64> {
    let text = macros.get(name).with_context(|| format!("{name} is not defined"))?;
    let mut sum = 0;
    for term in text.split(['(', ')', '+', '|', ' ']).filter(|term| !term.is_empty()) {
        sum += match number(term) {
            Some(number) => number,
            None => evaluate(term, macros)?,
        };
    }
    Ok(sum)
}

fn number(text: &str) -> Option<i64> {
    let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Where linux-raw-sys' sources are.
fn bindings() -> Result<PathBuf> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("metadata without packages")?;
    let package = packages
        .iter()
        .filter(|package| package["name"] == "linux-raw-sys")
        .max_by_key(|package| package["version"].as_str())
        .context("rustix without linux-raw-sys")?;
    let manifest = package["manifest_path"].as_str().context("package without a path")?;
    Ok(Path::new(manifest).with_file_name("src"))
}

/// The calls of linux-raw-sys' bindings: lines as `pub const __NR_read: u32 = 63;`.
fn from_bindings(path: &Path) -> Result<BTreeMap<String, i64>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = constant(line) else { continue };
        if let Some(call) = call_name(name) {
            let number = number(value).with_context(|| format!("value of {name}"))?;
            calls.insert(call.to_owned(), number & !X32_BIT);
        }
    }
    Ok(calls)
}

fn constant(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("pub const ")?.split_once(": u32 = ")?;
    Some((name, value.strip_suffix(';')?))
}

/// `AUDIT_ARCH_…` of each: linux/audit.h is the same on all of them.
fn audit_values() -> Result<Vec<i64>> {
    let macros = macros(Path::new("/usr/aarch64-linux-gnu/include"), "linux/audit.h", &[])?;
    let value = |a: &Architecture| evaluate(&format!("AUDIT_ARCH_{}", a.audit), &macros);
    ARCHITECTURES.iter().map(value).collect()
}
