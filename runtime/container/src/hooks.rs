//! Programs that the configuration wants to be called on the way.

use crate::error::{Error, io_reason};
use base_oci::runtime::Hook;
use contracts_runtime_api::State;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How much of what a hook says is kept.
const MAX_SAID: usize = 1024;

/// Runs the hooks of a phase in order, the state document on their stdin.
pub(crate) fn run(phase: &'static str, hooks: &[Hook], state: &State) -> Result<(), Error> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(phase, hook, state).map_err(|reason| Error::Hook { phase, index, reason })?;
    }
    Ok(())
}

/// The same, all of them whatever becomes of one; those that failed.
pub(crate) fn run_each(phase: &'static str, hooks: &[Hook], state: &State) -> Vec<Error> {
    let run = |(index, hook)| {
        let reason = run_one(phase, hook, state).err()?;
        Some(Error::Hook { phase, index, reason })
    };
    hooks.iter().enumerate().filter_map(run).collect()
}

/// Phases whose hooks run inside the container, where its bundle is not.
const INSIDE: [&str; 2] = ["createContainer", "startContainer"];

fn run_one(phase: &str, hook: &Hook, state: &State) -> Result<(), String> {
    if !hook.path.starts_with('/') {
        return Err(format!("path {:?} of a hook is not absolute", hook.path));
    }
    let limit = match hook.timeout {
        None => None,
        Some(seconds) => Some(
            u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| format!("{}: timeout {seconds} is not greater than 0", hook.path))?,
        ),
    };
    let document = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let stdin = file_of(&document).map_err(|errno| format!("state for the hook: {errno}"))?;
    let (said, stderr) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| errno.to_string())?;
    let mut command = Command::new(&hook.path);
    if let Some((zeroth, rest)) = hook.args.split_first() {
        command.arg0(zeroth).args(rest);
    }
    command.env_clear();
    command.envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    command.stdin(stdin).stdout(Stdio::null()).stderr(stderr);
    // As runc does, if the bundle is still there.
    if !INSIDE.contains(&phase) && Path::new(&state.bundle).is_dir() {
        command.current_dir(&state.bundle);
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("fork/exec {}: {}", hook.path, io_reason(&error)))?;
    // It holds the pipe's other end.
    drop(command);
    let limit = limit.map(|seconds| (seconds, Instant::now() + Duration::from_secs(seconds)));
    let heard = listen(&child, &said, limit.map(|(_, deadline)| deadline));
    let Some(text) = heard.map_err(|errno| format!("wait for {}: {errno}", hook.path))? else {
        let _ = child.kill();
        let _ = child.wait();
        let seconds = limit.map_or(0, |(seconds, _)| seconds);
        return Err(format!("context deadline exceeded: hook ran longer than {seconds} s"));
    };
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    Err(format!("{}: {status}, stderr: {}", hook.path, text.trim_end()))
}

/// A file with this content, to be read from its beginning: unlike a pipe it holds back nobody when
/// a hook does not read it.
fn file_of(content: &[u8]) -> rustix::io::Result<OwnedFd> {
    let file = memfd_create("state.json", MemfdFlags::CLOEXEC)?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = &rest[written..];
    }
    seek(&file, SeekFrom::Start(0))?;
    Ok(file)
}

/// Waits for the hook's end and keeps the beginning of what it said; nothing when its time is up.
/// What its own children still hold open is not waited for.
fn listen(
    child: &Child,
    said: &OwnedFd,
    deadline: Option<Instant>,
) -> rustix::io::Result<Option<Vec<u8>>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let (mut text, mut is_open) = (Vec::new(), true);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let mut ready = vec![PollFd::new(&pidfd, PollFlags::IN)];
        if is_open {
            ready.push(PollFd::new(said, PollFlags::IN));
        }
        match poll(&mut ready, limit.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        let has_ended = !ready[0].revents().is_empty();
        if ready.get(1).is_some_and(|said| !said.revents().is_empty()) {
            let mut buffer = [0_u8; 4096];
            let length = rustix::io::retry_on_intr(|| rustix::io::read(said, &mut buffer))?;
            is_open = length > 0;
            let room = MAX_SAID.saturating_sub(text.len()).min(length);
            text.extend_from_slice(&buffer[..room]);
        } else if has_ended {
            return Ok(Some(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_runtime_api::Status;

    fn state() -> State {
        State {
            oci_version: "1.3.0".into(),
            id: "x".into(),
            pid: 1,
            status: Status::Created,
            bundle: "/b".into(),
            rootfs: String::new(),
            created: String::new(),
            annotations: std::collections::BTreeMap::new(),
            owner: String::new(),
        }
    }

    fn shell(script: &str, timeout: Option<i64>) -> Hook {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        Hook { path: "/bin/sh".to_owned(), args, env: vec!["A=b".to_owned()], timeout }
    }

    #[test]
    fn a_hook_gets_the_state_and_only_its_own_environment() {
        let script = r#"read s; case "$s" in *'"id":"x"'*) ;; *) exit 3;; esac; test "$A" = b && test -z "$HOME""#;
        run("prestart", &[shell(script, None)], &state()).unwrap();
    }

    #[test]
    fn a_failing_hook_and_a_slow_one_are_reported() {
        let error = run("poststart", &[shell("echo no >&2; exit 4", None)], &state()).unwrap_err();
        assert!(error.to_string().contains("stderr: no"), "{error}");
        let error = run("poststart", &[shell("sleep 30", Some(1))], &state()).unwrap_err();
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
        assert!(run("poststart", &[shell("true", Some(0))], &state()).is_err());
        for (path, words) in [("sh", "is not absolute"), ("/no", "fork/exec /no: no such file")] {
            let hook = Hook { path: path.to_owned(), ..shell("true", None) };
            let error = run("prestart", &[hook], &state()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_hook_that_says_much_or_leaves_a_child_behind_is_not_waited_for() {
        let much = "i=0; while [ $i -lt 4000 ]; do echo 0123456789012345678901234567890123456789; \
                    i=$((i+1)); done >&2; exit 5";
        let error = run("prestart", &[shell(much, Some(60))], &state()).unwrap_err();
        assert!(error.to_string().len() < 2 * MAX_SAID, "{error}");
        // Its child keeps stderr open for as long as this test's process lives.
        let daemon = format!("while kill -0 {}; do sleep 1; done & exit 0", std::process::id());
        run("prestart", &[shell(&daemon, None)], &state()).unwrap();
    }

    #[test]
    fn a_hook_need_not_read_a_long_state() {
        let mut state = state();
        state.annotations.insert("long".into(), "x".repeat(1 << 20));
        run("prestart", &[shell("exit 0", None)], &state).unwrap();
    }
}
