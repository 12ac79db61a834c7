//! Which file is executed, with which environment.

use crate::error::{Error, reason, refused};
use contracts_runtime_api::texts;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, stat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CString;

/// No passwd file of an image is read further.
const MAX_PASSWD: usize = 1 << 20;

/// Finds the program as a shell would, with the rights that the calling process has now. The
/// errors' texts are Go's: engines tell exit codes 126 and 127 apart by them.
pub(crate) fn find(name: &str, env: &[String]) -> Result<CString, Error> {
    let failed = |reason: String| Error::Program { program: name.to_owned(), reason };
    if name.is_empty() {
        return Err(failed(texts::EXECUTABLE_NOT_FOUND.to_owned()));
    }
    if name.contains('/') {
        return match check(name) {
            Ok(()) => c_string(name),
            Err(Errno::NOENT) => Err(failed(format!("stat {name}: {}", texts::NO_SUCH_FILE))),
            Err(errno) => Err(failed(reason(errno))),
        };
    }
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or("");
    for folder in path.split(':').filter(|_| !path.is_empty()) {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = format!("{folder}/{name}");
        if check(&candidate).is_ok() {
            if !candidate.starts_with('/') {
                let refusal = "cannot run executable found relative to current directory";
                return Err(failed(refusal.to_owned()));
            }
            return c_string(&candidate);
        }
    }
    Err(failed(texts::EXECUTABLE_NOT_FOUND.to_owned()))
}

/// Whether a path can be executed.
fn check(path: &str) -> rustix::io::Result<()> {
    let found = stat(path)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// Arguments or variables as the kernel wants them.
pub(crate) fn c_strings(strings: &[String]) -> Result<Vec<CString>, Error> {
    strings.iter().map(|string| c_string(string)).collect()
}

fn c_string(string: &str) -> Result<CString, Error> {
    CString::new(string)
        .map_err(|_| Error::Configuration(format!("{string:?} has a NUL character in it")))
}

/// The environment with `HOME` in it, which runc takes from the container's `/etc/passwd` when
/// the configuration has none; images count on it.
///
/// Of variables with one name the last stays, as with runc: programs would go by the first, and what
/// `exec` is given comes after what the configuration has.
pub(crate) fn with_home(env: &[String], uid: u32) -> Vec<String> {
    let mut names = BTreeSet::new();
    let name = |variable: &String| variable.find('=').unwrap_or(variable.len());
    let mut env: Vec<String> = env
        .iter()
        .rev()
        .filter(|&variable| names.insert(&variable[..name(variable)]))
        .cloned()
        .collect();
    env.reverse();
    let is_set = env
        .iter()
        .any(|variable| variable.strip_prefix("HOME=").is_some_and(|home| !home.is_empty()));
    if !is_set {
        env.retain(|variable| !variable.starts_with("HOME="));
        let home = passwd().and_then(|text| home_in(&text, uid));
        env.push(format!("HOME={}", home.as_deref().unwrap_or("/")));
    }
    env
}

/// The container's `/etc/passwd`, if that is a plain file; the root has been changed to the
/// container's.
fn passwd() -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open("/etc/passwd", flags, Mode::empty()).ok()?;
    let found = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::with_capacity(4096);
    while text.len() < MAX_PASSWD {
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => break,
            Ok(_) => text.reserve(4096),
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The home of a user id in a passwd file.
pub(crate) fn home_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let matches = fields.nth(2)?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (matches && !home.is_empty()).then(|| home.to_owned())
    })
}

/// Goes to the working directory.
pub(crate) fn enter_folder(folder: &str) -> Result<(), Error> {
    let step = || format!("chdir to cwd ({folder:?}) set in config.json failed");
    rustix::process::chdir(folder).map_err(refused(step()))?;
    // A folder outside the root, reached through a leaked descriptor (CVE-2024-21626), has no
    // name from here.
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.to_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(Error::Configuration(
            "current working directory is outside of container mount namespace root".to_owned(),
        )),
        Err(errno) => Err(refused(step())(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, path: &str) -> String {
        find(name, &[format!("PATH={path}")]).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_executed_is_told_in_the_words_that_callers_search_for() {
        assert_eq!(
            text("nosuch", "/usr/bin:/bin"),
            r#"exec: "nosuch": executable file not found in $PATH"#
        );
        assert_eq!(
            text("/nosuch", ""),
            r#"exec: "/nosuch": stat /nosuch: no such file or directory"#
        );
        assert_eq!(text("/etc", ""), r#"exec: "/etc": is a directory"#);
        assert_eq!(text("/etc/passwd", ""), r#"exec: "/etc/passwd": permission denied"#);
        assert_eq!(text("sh", ""), r#"exec: "sh": executable file not found in $PATH"#);
    }

    #[test]
    fn programs_are_found_along_path_and_by_their_own_path() {
        let env = ["PATH=/nowhere:/bin".to_owned()];
        assert_eq!(find("sh", &env).unwrap().to_bytes(), b"/bin/sh");
        assert_eq!(find("/bin/sh", &[]).unwrap().to_bytes(), b"/bin/sh");
    }

    #[test]
    fn of_variables_with_one_name_the_last_stays() {
        let env = ["A=1", "PATH=/a", "A=2", "B", "HOME=/h", "A=3"].map(str::to_owned);
        assert_eq!(with_home(&env, 0), ["PATH=/a", "B", "HOME=/h", "A=3"]);
    }

    #[test]
    fn home_comes_from_passwd_and_hostile_lines_are_skipped() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nu:x:1000:1000::/home/u:/bin/sh\n";
        assert_eq!(home_in(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_in(passwd, 1000).as_deref(), Some("/home/u"));
        assert_eq!(home_in(passwd, 5), None);
    }
}
