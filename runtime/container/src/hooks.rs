//! Programs that the configuration wants to be called on the way.

use crate::error::Error;
use base_oci::runtime::Hook;
use contracts_runtime_api::State;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs the hooks of a phase in order, the state document on their stdin.
pub(crate) fn run(phase: &'static str, hooks: &[Hook], state: &State) -> Result<(), Error> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, state).map_err(|reason| Error::Hook { phase, index, reason })?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &State) -> Result<(), String> {
    let document = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let mut command = Command::new(&hook.path);
    if let Some((zeroth, rest)) = hook.args.split_first() {
        command.arg0(zeroth).args(rest);
    }
    command.env_clear();
    command.envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", hook.path))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its stdin is no failure.
        let _ = stdin.write_all(&document);
    }
    if let Some(seconds) = hook.timeout {
        wait_with_limit(&mut child, seconds)?;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(1024)]).into_owned();
    Err(format!("{}: {}, stderr: {}", hook.path, output.status, said.trim_end()))
}

/// Waits for the hook's end, or kills it when its time is up.
fn wait_with_limit(child: &mut Child, seconds: i64) -> Result<(), String> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return Ok(());
    };
    let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap_or(0);
    if ended == 0 {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("context deadline exceeded: hook ran longer than {seconds} s"));
    }
    Ok(())
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
    }
}
