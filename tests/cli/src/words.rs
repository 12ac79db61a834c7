//! What Docker's client says when no daemon is needed, or none is there.

use crate::Outcome;

/// The calls, one a line; words are separated by single spaces, and `''` is an empty one.
pub const CALLS: &str = "\
run
run --foo x
run -z x
run -e
run --env
run -m 1x x
run --cpus z x
run --rm=z x
run -p 99999:1 x
run -p 1:99999 x
run -p 80/foo x
run -p x:1:2 x
run --ulimit x x
run --uts x x
run --pid x x
run --userns x x
run --restart on-failure:x x
run --rm --restart always x
run --log-driver none --log-opt a=b x
run --no-healthcheck --health-cmd x x
run --memory-swappiness 101 x
run --pull foo x
run --health-interval -1s x
run --health-interval 1 x
run --blkio-weight 70000 x
run --add-host x y
run --dns x y
run --mac-address x y
run --device-cgroup-rule x y
run -a foo x
run -d -a stdout x
run -it x
run BAD
run --env-file /nowhere x
run x
create
create BAD
create x
exec a
exec a b
ps x
ps --foo
ps -z
ps --filter foo
ps -n x
ps
images a b
images
inspect
inspect -f {{ x
rm
rm x
rmi
stop
stop -t x y
stop x
kill
kill x
restart
pause
unpause
start
start -a x y
wait
logs
logs a b
logs x
port
port a b c
attach
attach a b
stats --foo
events x
pull
pull a b
pull BAD
tag a
tag a b
history
version x
foo
container foo
image foo
volume create a b
volume rm
network inspect
--foo ps
-z ps
container
image
system
";

/// Where no daemon is.
pub const NOWHERE: &str = "unix:///nowhere/docker.sock";

/// A call's words.
pub fn split(call: &str) -> Vec<&str> {
    call.split(' ').map(|word| if word == "''" { "" } else { word }).collect()
}

/// A call with what came of it, as it stands in the record.
#[must_use]
pub fn render(call: &str, outcome: &Outcome) -> String {
    let mut out = format!("$ docker {call}\ncode {}\n", outcome.code);
    for (mark, text) in [('>', &outcome.stdout), ('!', &outcome.stderr)] {
        for line in text.lines() {
            out.push_str(format!("{mark} {line}").trim_end());
            out.push('\n');
        }
    }
    out
}

/// Help is laid out as Docker's but told in our own words: only the lines that are an interface
/// are compared.
#[must_use]
pub fn without_help(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    for text in [&mut outcome.stdout, &mut outcome.stderr] {
        if outcome.code == 0 && text.starts_with("Usage:") {
            text.truncate(text.find('\n').map_or(0, |end| end + 1));
        }
    }
    // A slip of the pen in docker 28.
    outcome.stderr = outcome.stderr.replace("SRun '", "Run '");
    outcome
}
