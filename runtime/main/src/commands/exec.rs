//! `exec`.

use super::create::check_console;
use super::document;
use crate::Global;
use crate::arguments::{Flags, Parsed};
use crate::failure::Failure;
use crate::foreground::Foreground;
use base_oci::runtime::{Capabilities, Process, User};
use runtime_container::{Below, Container, Error, ExecOptions, ExecRequest, Stdio};

/// Errors of `exec` itself, apart from any that the process could end with.
const FAILED: u8 = 255;

/// `exec`.
pub(crate) fn exec(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let id = parsed.id()?;
    let flags = &parsed.flags;
    let failed = |error: Error| Failure::Container {
        prefix: if matches!(error, Error::Exec { .. }) { "" } else { "exec failed: " },
        error,
        code: FAILED,
    };
    let container = Container::find(&global.root, id).map_err(failed)?;
    let (process, options) = process(&container, parsed)
        .and_then(|process| Ok((process, options(flags)?)))
        .map_err(of_exec)?;
    let is_detached = flags.has("detach");
    let has_socket = options.console_socket.is_some();
    check_console(process.terminal, is_detached, has_socket).map_err(of_exec)?;
    let foreground = if is_detached { None } else { Some(Foreground::take_over()?) };
    let stdio = if process.terminal { Stdio::Terminal } else { Stdio::Inherit };
    let request = ExecRequest { container, process, stdio, options };
    if let Some(warning) = request.warning() {
        global.log.warning(&warning);
    }
    let executed = runtime_container::exec(request).map_err(failed)?;
    match foreground {
        None => Ok(0),
        Some(foreground) => foreground.wait(executed.pid, &executed.pidfd, executed.console),
    }
}

/// A failure before the library was asked, told as one of `exec`.
fn of_exec(failure: Failure) -> Failure {
    match failure {
        Failure::Usage(text) | Failure::Other(text) => Failure::Exec { text, code: FAILED },
        failure => failure,
    }
}

fn options(flags: &Flags) -> Result<ExecOptions, Failure> {
    let wrong = |error| Failure::Other(format!("--cgroup: {error}"));
    Ok(ExecOptions {
        pid_file: flags.path("pid-file"),
        preserve_fds: flags.number("preserve-fds")?.unwrap_or(0),
        console_socket: flags.path("console-socket"),
        pidfd_socket: flags.path("pidfd-socket"),
        cgroup: Below::parse(flags.values("cgroup")).map_err(wrong)?,
        ignore_paused: flags.has("ignore-paused"),
    })
}

/// The process: a document of its own, or the container's with other arguments.
fn process(container: &Container, parsed: &Parsed) -> Result<Process, Failure> {
    let flags = &parsed.flags;
    if let Some(path) = flags.path("process") {
        return document::read(&path);
    }
    let args = &parsed.rest[1..];
    if args.is_empty() {
        return Err(Failure::Usage("exec args cannot be empty".to_owned()));
    }
    let mut process = document::process(container.bundle())?;
    process.args = args.to_vec();
    process.terminal = flags.has("tty");
    process.console_size = None;
    process.env.extend(flags.values("env").map(str::to_owned));
    let set = |field: &mut String, flag| {
        if let Some(value) = flags.value(flag) {
            value.clone_into(field);
        }
    };
    set(&mut process.cwd, "cwd");
    set(&mut process.apparmor_profile, "apparmor");
    set(&mut process.selinux_label, "process-label");
    if let Some(wanted) = flags.switch("no-new-privs") {
        process.no_new_privileges = wanted;
    }
    if let Some(user) = flags.value("user") {
        set_user(&mut process.user, user)?;
    }
    for gid in flags.values("additional-gids") {
        let number = gid.parse().map_err(|_| Failure::Usage(format!("invalid group {gid:?}")))?;
        process.user.additional_gids.push(number);
    }
    let capabilities: Vec<String> = flags.values("cap").map(str::to_owned).collect();
    if !capabilities.is_empty() {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.extend(capabilities.iter().cloned());
        }
        // Those that programs inherit are kept by who is not root, as under runc.
        let is_inheritable = |name: &String| sets.inheritable.contains(name);
        sets.ambient.extend(capabilities.into_iter().filter(is_inheritable));
    }
    Ok(process)
}

/// `uid[:gid]`; names would have to be looked up in the container's own files. What is not said
/// stays as the configuration has it.
fn set_user(user: &mut User, text: &str) -> Result<(), Failure> {
    let number = |part: &str| {
        part.parse::<u32>().map_err(|_| Failure::Usage(format!("invalid user {text:?}")))
    };
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    user.uid = number(uid)?;
    if let Some(gid) = gid {
        user.gid = number(gid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_and_what_is_not_said_stays() {
        let mut user = User { gid: 3, additional_gids: vec![4], ..User::default() };
        set_user(&mut user, "7").unwrap();
        assert_eq!((user.uid, user.gid), (7, 3));
        set_user(&mut user, "1000:5").unwrap();
        assert_eq!((user.uid, user.gid, user.additional_gids.as_slice()), (1000, 5, &[4][..]));
        assert!(set_user(&mut user, "root").is_err());
    }
}
