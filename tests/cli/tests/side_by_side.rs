//! Our client and Docker's on the same real dockerd: what they print is compared.

#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;
use tests_cli::{Outcome, call, docker, gantry, major_version};
use tests_harness::terminal::Terminal;
use tests_harness::{Reference, images, output_of, reference, wait};

/// Calls that change nothing; `web` runs, `old` has ended.
const CALLS: &str = "\
ps
ps -a
ps -aq
ps -as
ps -a --no-trunc -q
ps --filter status=exited -a --format {{.Names}}
ps --filter foo=bar
ps -n 1 --format {{.Names}}|{{.Label \"x.y\"}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.Ports}}
ps -a --format table\u{a0}{{truncate\u{a0}.ID\u{a0}4}}\\t{{upper\u{a0}.Names}}\\t{{.CreatedAt}}
ps -l -q
images
images -q
images --no-trunc
images --digests
images busybox
images nope
history busybox
history --no-trunc busybox
history -q busybox
inspect web
inspect busybox
inspect nope
inspect web busybox nope
inspect -f {{.State.Pid}}{{.Name}} web
inspect -f {{json\u{a0}.Config.Env}} web
inspect -f {{range\u{a0}$p,$b:=.NetworkSettings.Ports}}{{$p}}={{(index\u{a0}$b\u{a0}0).HostPort}};{{end}} web
inspect --type image web
inspect --type volume vol1
container inspect web
container inspect nope
image inspect busybox
image inspect nope
volume inspect vol1
volume inspect nope
network inspect bridge
network inspect nope
volume ls
volume ls -q
volume ls --format json
network ls
network ls -q
network ls --no-trunc
port web
port web 80
port web 81
port nope
logs old
logs -t old
logs --tail 1 old
logs -f old
logs --since 1h old
logs --since foo old
logs nope
wait old
wait old nope
stop nope
kill old
kill nope
pause old
unpause web
start nope
restart nope
rm nope
rm web
rm -f nope
rmi nope
rmi -f nope
rename nope x
rename web old
top web -o pid,comm
top nope
top old
diff old
diff nope
network rm nope
network rm -f nope
network rm bridge
network connect nope web
network disconnect bridge nope
network create bridge
network create --subnet 10.1.0.0 n
network create --subnet 10.1.0.0/16 --gateway 10.2.0.1 n
help nope
-l foo ps
tag nope x
exec nope true
exec old true
exec web sh -c exit\u{a0}5
exec web nope
exec web sh -c echo\u{a0}a;echo\u{a0}b>&2
exec -e X=1 -w /tmp web sh -c echo\u{a0}$X;pwd
exec -u 1234 web id
attach old
attach nope
system df
run --rm busybox sh -c exit\u{a0}9
run --rm busybox nope
run --rm busybox /etc/passwd
run --rm --network nope busybox true
run --rm -v /:/bad:foo busybox true
run --rm -e A=b busybox printenv A
run --rm -a stdout busybox sh -c echo\u{a0}a;echo\u{a0}b>&2
run --rm -a stderr busybox sh -c echo\u{a0}a;echo\u{a0}b>&2
run --rm --entrypoint echo busybox x y
run --rm -w /tmp -u 1:1 -h box busybox sh -c pwd;hostname
run --rm --memory 1k busybox true
run --pull never nope:1 true
run -t --rm busybox tty
version --format {{.Server.Version}}
info --format {{.ServerVersion}}{{.ID}}
events --since 1h --until 0s --filter container=old --filter event=die
events --since 1h --until 0s --filter container=old --filter event=die --format json
";

/// Words for which both clients offer the same; `web` runs, `old` has ended.
const UNFINISHED: [&str; 13] = [
    "stop ",
    "start ",
    "logs ",
    "rm -f ",
    "exec ",
    "run busy",
    "rmi ",
    "volume rm ",
    "network inspect ",
    "run --network ",
    "run --restart ",
    "run --pull=",
    "container ls --no-t",
];

fn busybox(engine: &Reference) {
    let archive = reference::archive(&images::busybox(), "busybox:latest", engine.scratch());
    let _ = output_of(engine.docker(&["load", "-i"]).arg(archive));
}

/// Times pass between two calls, and ids are drawn.
fn settled(outcome: &Outcome) -> Outcome {
    let words = |text: &str| -> String {
        let lines = text.lines().map(|line| {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = (2..60).fold(line, |line, n| {
                line.replace(&format!(" {n} seconds"), " TIME")
                    .replace(&format!(" {n} minutes"), " TIME")
            });
            let ago = ["Less than a second", "About a minute", "1 second", "1 minute"];
            ago.iter().fold(line, |line, words| line.replace(words, "TIME"))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    // A slip of docker 28 in `network rm`.
    let stderr = words(&outcome.stderr).replace("\nexit status 1", "");
    Outcome { code: outcome.code, stdout: words(&outcome.stdout), stderr }
}

#[test]
fn both_clients_print_the_same() {
    let engine = Reference::dockerd(&[]);
    busybox(&engine);
    let host = engine.docker_host();
    let (docker, gantry) = (docker(), gantry());
    let ready = |arguments: &[&str]| {
        let outcome = call(&gantry, &host, arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    };
    ready(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "9000-9002:9000-9002/udp",
        "-e",
        "A=1",
        "-l",
        "x.y=z",
        "-v",
        "vol1:/data",
        "--tmpfs",
        "/t",
        "busybox",
        "sleep",
        "10000",
    ]);
    ready(&["create", "--name", "old", "busybox", "sh", "-c", "echo one; echo two >&2; exit 3"]);
    assert_eq!(call(&gantry, &host, &["start", "-a", "old"]).code, 3);
    // Before 28, words and tables differ too much for a comparison of everything.
    let whole = major_version(&docker) >= 28;
    let mut wrong = Vec::new();
    for line in CALLS.lines() {
        let spaced: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        let arguments: Vec<&str> = spaced.iter().map(String::as_str).collect();
        let theirs = settled(&call(&docker, &host, &arguments));
        let ours = settled(&call(&gantry, &host, &arguments));
        let same = if whole { theirs == ours } else { theirs.code == ours.code };
        if !same {
            wrong.push(format!("{line}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    for line in UNFINISHED.iter().filter(|_| whole) {
        let mut arguments = vec!["__completeNoDesc"];
        arguments.extend(line.split(' '));
        let [theirs, ours] = [&docker, &gantry].map(|client| {
            let outcome = call(client, &host, &arguments);
            let mut lines: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        });
        if theirs != ours {
            wrong.push(format!("{arguments:?}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    let _ = call(&gantry, &host, &["rm", "-f", "web", "old"]);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn input_reaches_the_container_whole_and_its_end_too() {
    let engine = Reference::dockerd(&[]);
    busybox(&engine);
    let script = format!(
        "seq 1 200000 | {} run -i --rm busybox md5sum; seq 1 200000 | md5sum",
        gantry().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("DOCKER_HOST", engine.docker_host());
    let text = output_of(&mut command);
    let sums: Vec<&str> = text.lines().collect();
    assert_eq!(sums.len(), 2, "{text}");
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn signals_are_passed_on_and_the_exit_code_comes_back() {
    let engine = Reference::dockerd(&[]);
    busybox(&engine);
    let script = format!(
        "{} run --rm busybox sh -c 'trap \"exit 33\" INT; echo ready; while :; do sleep 0.1; done' \
         >ready & pid=$!; until grep -q ready ready; do sleep 0.1; done; kill -INT $pid; wait $pid; echo $?",
        gantry().display()
    );
    let mut command = Command::new("bash");
    // Interactive job control: else a background process of a shell ignores SIGINT.
    command
        .args(["-mc", &script])
        .current_dir(engine.scratch())
        .env("DOCKER_HOST", engine.docker_host());
    assert_eq!(output_of(&mut command).trim(), "33");
}

/// Does something again and again until the screen shows `text`: for what takes effect some time
/// after it was done.
fn insist(terminal: &Terminal, text: &str, mut act: impl FnMut()) {
    let limit = Duration::from_secs(60);
    wait::until(&format!("{text:?} on the screen"), limit, || {
        act();
        let screen = terminal.screen();
        if screen.contains(text) { Ok(()) } else { Err(format!("\n{screen}")) }
    });
}

#[test]
fn a_terminal_is_resized_detached_from_and_put_back() {
    let engine = Reference::dockerd(&[]);
    busybox(&engine);
    let shell = format!("env DOCKER_HOST={} PS1='host> ' sh", engine.docker_host());
    let terminal = Terminal::start(&shell, 101, 31);
    let gantry = gantry();
    let gantry = gantry.display();
    terminal.line(&format!("{gantry} run -it --rm --name tt busybox sh"));
    terminal.expect("/ #");
    terminal.line("stty size");
    terminal.expect("31 101");
    terminal.resize(90, 25);
    insist(&terminal, "25 90", || terminal.line("clear; stty size"));
    // The trap is set before the line that is waited for: one Ctrl-C is enough, and the second ends
    // the loop. No prompt comes meanwhile: busybox' asks the terminal, whose answer is input.
    terminal.line(
        "sh -c 'trap \"echo in\\$((40 + 2))terrupted; trap - INT\" INT; echo be$((40 + 2))gun; \
         while :; do echo be$((20 + 2))at; sleep 1; done'",
    );
    terminal.expect("be42gun");
    terminal.press(&["C-c"]);
    terminal.expect("in42terrupted");
    terminal.press(&["C-p", "C-q"]);
    terminal.expect("host>");
    terminal.line(&format!(
        "clear; stty -a | grep -o ' icanon' | tr a-z A-Z; echo at$((40 + 2))tach; {gantry} attach tt"
    ));
    terminal.expect("ICANON");
    terminal.expect("at42tach");
    terminal.expect("be22at");
    terminal.press(&["C-c"]);
    terminal.expect("/ #");
    terminal.line("exit 6");
    // Not before: what is typed ahead is still the container's.
    terminal.expect("host>");
    terminal.line("echo code $?");
    terminal.expect("code 6");
}
