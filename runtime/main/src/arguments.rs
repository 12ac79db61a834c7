//! Commands and flags: one definition each, from which parser and help are made.

use crate::Global;
use crate::commands;
use crate::failure::Failure;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A flag: its name, its short name, whether it takes a value, and what it is for.
pub(crate) struct Flag {
    name: &'static str,
    short: Option<char>,
    takes_value: bool,
    about: &'static str,
}

const fn switch(name: &'static str, short: Option<char>, about: &'static str) -> Flag {
    Flag { name, short, takes_value: false, about }
}

const fn value(name: &'static str, short: Option<char>, about: &'static str) -> Flag {
    Flag { name, short, takes_value: true, about }
}

/// A command.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    operands: &'static str,
    about: &'static str,
    pub(crate) flags: &'static [Flag],
    /// Whether what follows the first operand belongs to another program.
    pub(crate) stops_at_operand: bool,
    /// How many operands it takes at most; what belongs to another program is not counted.
    max_operands: usize,
    /// Whether it clones processes into containers, so that its own file has to be sealed.
    pub(crate) joins_containers: bool,
    pub(crate) run: fn(&Global, &Parsed) -> Result<u8, Failure>,
}

/// Flags before the command.
pub(crate) const GLOBAL: &[Flag] = &[
    switch("debug", None, "write debug lines to the log"),
    value("log", None, "file for the log (default: stderr)"),
    value("log-format", None, "text or json"),
    value("root", None, "folder of the containers' state"),
    switch("systemd-cgroup", None, "have systemd make cgroups; paths are slice:prefix:name"),
    value("cgroup-manager", None, "cgroupfs, systemd or disabled, as crun has it"),
    value("rootless", None, "true, false or auto: do without cgroups that may not be made"),
    switch("version", Some('v'), "print the version"),
    switch("help", Some('h'), "print this help"),
];

const HELP: Flag = switch("help", Some('h'), "print this help");
const BUNDLE: Flag = value("bundle", Some('b'), "the bundle (default: current directory)");
const CONSOLE_SOCKET: Flag =
    value("console-socket", None, "unix socket that receives the terminal's master");
const PIDFD_SOCKET: Flag = value("pidfd-socket", None, "unix socket that receives a pidfd");
const PID_FILE: Flag = value("pid-file", None, "file to write the pid to");
const NO_PIVOT: Flag = switch("no-pivot", None, "move the root mount instead of pivot_root");
const NO_NEW_KEYRING: Flag = switch("no-new-keyring", None, "keep the session keyring");
const PRESERVE_FDS: Flag = value("preserve-fds", None, "pass on so many descriptors from 3 on");
const FORMAT: Flag = value("format", Some('f'), "table or json");

const CREATE: &[Flag] =
    &[BUNDLE, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS, HELP];

const RUN: &[Flag] = &[
    BUNDLE,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    NO_PIVOT,
    NO_NEW_KEYRING,
    PRESERVE_FDS,
    switch("detach", Some('d'), "return once the program runs"),
    switch("keep", None, "keep the container when it has ended"),
    switch("no-subreaper", None, "do not adopt the container's orphans"),
    HELP,
];

const EXEC: &[Flag] = &[
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    PRESERVE_FDS,
    value("cwd", None, "working directory"),
    value("env", Some('e'), "NAME=value; may be repeated"),
    switch("tty", Some('t'), "give it a terminal"),
    value("user", Some('u'), "uid[:gid]"),
    value("additional-gids", Some('g'), "further group; may be repeated"),
    value("process", Some('p'), "file of the process document"),
    switch("detach", Some('d'), "return once the program runs"),
    value("process-label", None, "SELinux label"),
    value("apparmor", None, "AppArmor profile"),
    switch("no-new-privs", None, "set no_new_privs"),
    value("cap", Some('c'), "further capability; may be repeated"),
    value("cgroup", None, "[controller:]path of a group below; may be repeated"),
    switch("ignore-paused", None, "exec even in a paused container"),
    HELP,
];

const UPDATE: &[Flag] = &[
    value("resources", Some('r'), "file of the limits, - for stdin"),
    value("blkio-weight", None, "block I/O weight"),
    value("cpu-period", None, "microseconds"),
    value("cpu-quota", None, "microseconds a period"),
    value("cpu-burst", None, "microseconds a period"),
    value("cpu-share", None, "relative weight"),
    value("cpu-rt-period", None, "microseconds"),
    value("cpu-rt-runtime", None, "microseconds a period"),
    value("cpuset-cpus", None, "CPU list"),
    value("cpuset-mems", None, "memory node list"),
    value("cpu-idle", None, "0 or 1"),
    value("memory", None, "bytes, or with k, m, g"),
    value("memory-reservation", None, "bytes"),
    value("memory-swap", None, "bytes of memory and swap together, -1 for unlimited"),
    value("kernel-memory", None, "obsolete, ignored"),
    value("kernel-memory-tcp", None, "obsolete, ignored"),
    value("pids-limit", None, "tasks"),
    value("l3-cache-schema", None, "Intel RDT: caches, L3:0=f;1=f"),
    value("mem-bw-schema", None, "Intel RDT: memory bandwidth, MB:0=20;1=70"),
    HELP,
];

const IMAGE_PATH: Flag = value("image-path", None, "folder of the image (default: checkpoint)");
const WORK_PATH: Flag = value("work-path", None, "folder of criu's log (default: the image's)");
const TCP_ESTABLISHED: Flag = switch("tcp-established", None, "with open TCP connections");
const EXT_UNIX_SK: Flag = switch("ext-unix-sk", None, "with unix sockets to the outside");
const SHELL_JOB: Flag = switch("shell-job", None, "with the caller's session and terminal");
const FILE_LOCKS: Flag = switch("file-locks", None, "with file locks");
const LAZY_PAGES: Flag = switch("lazy-pages", None, "move memory when it is used");
const CGROUPS_MODE: Flag =
    value("manage-cgroups-mode", None, "soft (default), full, strict, ignore");
const EMPTY_NS: Flag = value("empty-ns", None, "network: restore it empty");
const AUTO_DEDUP: Flag = switch("auto-dedup", None, "free memory images that are used up");

const CHECKPOINT: &[Flag] = &[
    IMAGE_PATH,
    WORK_PATH,
    value("parent-path", None, "image of an earlier pre-dump, relative to this one"),
    switch("leave-running", None, "let the container run on"),
    TCP_ESTABLISHED,
    switch("tcp-skip-in-flight", None, "without TCP connections that are being made"),
    switch("link-remap", None, "with files whose names are gone"),
    EXT_UNIX_SK,
    SHELL_JOB,
    LAZY_PAGES,
    value("status-fd", None, "descriptor that gets a byte when lazy pages are served"),
    value("page-server", None, "ADDRESS:PORT that receives memory"),
    FILE_LOCKS,
    switch("pre-dump", None, "memory only, for a later checkpoint; it runs on"),
    CGROUPS_MODE,
    EMPTY_NS,
    AUTO_DEDUP,
    HELP,
];

const RESTORE: &[Flag] = &[
    CONSOLE_SOCKET,
    IMAGE_PATH,
    WORK_PATH,
    TCP_ESTABLISHED,
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    CGROUPS_MODE,
    BUNDLE,
    switch("detach", Some('d'), "return once it runs"),
    PID_FILE,
    switch("no-subreaper", None, "do not adopt the container's orphans"),
    switch("no-pivot", None, "accepted for runc's sake"),
    EMPTY_NS,
    AUTO_DEDUP,
    LAZY_PAGES,
    value("lsm-profile", None, "TYPE:NAME of the security profile to restore"),
    value("lsm-mount-context", None, "SELinux label of its mounts"),
    HELP,
];

/// A command that takes an id and nothing else.
const fn plain(
    name: &'static str,
    about: &'static str,
    run: fn(&Global, &Parsed) -> Result<u8, Failure>,
) -> Command {
    Command {
        name,
        operands: "<container-id>",
        about,
        flags: &[HELP],
        stops_at_operand: false,
        max_operands: 1,
        joins_containers: false,
        run,
    }
}

const fn with(command: Command, flags: &'static [Flag], operands: &'static str) -> Command {
    Command { flags, operands, ..command }
}

const fn spawning(command: Command, stops_at_operand: bool) -> Command {
    Command { joins_containers: true, stops_at_operand, ..command }
}

const fn operands(command: Command, max_operands: usize) -> Command {
    Command { max_operands, ..command }
}

static COMMANDS: [Command; 17] = [
    spawning(
        with(plain("create", "make a container", commands::create), CREATE, "<container-id>"),
        false,
    ),
    plain("start", "run a created container's program", commands::start),
    spawning(
        with(plain("run", "create and start a container", commands::run), RUN, "<container-id>"),
        false,
    ),
    spawning(
        with(
            plain("exec", "run a further process in a container", commands::exec),
            EXEC,
            "<container-id> <command> [args…] | --process FILE <container-id>",
        ),
        true,
    ),
    operands(
        with(
            plain("kill", "send a signal (default SIGTERM)", commands::kill),
            &[switch("all", Some('a'), "to every process"), HELP],
            "<container-id> [signal]",
        ),
        2,
    ),
    with(
        plain("delete", "remove a container", commands::delete),
        &[switch("force", Some('f'), "kill it first; an unknown id is no error"), HELP],
        "<container-id>",
    ),
    plain("state", "print the state document", commands::state),
    operands(
        with(
            plain("list", "list containers", commands::list),
            &[FORMAT, switch("quiet", Some('q'), "ids only"), HELP],
            "",
        ),
        0,
    ),
    Command {
        stops_at_operand: true,
        ..with(
            plain("ps", "list a container's processes", commands::ps),
            &[FORMAT, HELP],
            "<container-id> [ps options]",
        )
    },
    plain("pause", "freeze a container", commands::pause),
    plain("resume", "thaw a container", commands::resume),
    with(plain("update", "change limits", commands::update), UPDATE, "<container-id>"),
    with(
        plain("events", "print use of resources and out-of-memory kills", commands::events),
        &[
            value("interval", None, "time between figures (default 5s)"),
            switch("stats", None, "print once and exit"),
            HELP,
        ],
        "<container-id>",
    ),
    operands(
        with(
            plain("spec", "write a config.json to begin with", commands::spec),
            &[BUNDLE, switch("rootless", None, "for a user without privileges"), HELP],
            "",
        ),
        0,
    ),
    operands(
        with(plain("features", "print what this runtime can do", commands::features), &[HELP], ""),
        0,
    ),
    with(
        plain("checkpoint", "write a running container to files", commands::checkpoint),
        CHECKPOINT,
        "<container-id>",
    ),
    spawning(
        with(
            plain("restore", "make a running container of such files", commands::restore),
            RESTORE,
            "<container-id>",
        ),
        false,
    ),
];

/// Finds a command.
pub(crate) fn command(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The flags that were given.
#[derive(Debug, Default)]
pub(crate) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    /// Whether a switch is on.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.switch(name) == Some(true)
    }

    /// What a switch was last told to be, if anything.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }

    /// The last value of a flag.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// A value as a path; an empty one is none.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// Every value of a flag.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// A value as a number; an empty one is none.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Failure::Usage(format!("invalid value {text:?} for --{name}")))
        };
        self.value(name).filter(|text| !text.is_empty()).map(parse).transpose()
    }
}

impl Command {
    /// Refuses operands that the command has no use for.
    pub(crate) fn check_operands(&self, operands: &[String]) -> Result<(), Failure> {
        if self.stops_at_operand || operands.len() <= self.max_operands {
            return Ok(());
        }
        let (name, most) = (self.name, self.max_operands);
        Err(Failure::Usage(format!("{name:?} takes at most {most} argument(s): {operands:?}")))
    }
}

/// A parsed command line.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) flags: Flags,
    pub(crate) rest: Vec<String>,
}

impl Parsed {
    /// The container's id, which is the first operand.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        match self.rest.first() {
            Some(id) if !id.is_empty() => Ok(id),
            Some(_) => Err(Failure::Usage("container id cannot be empty".to_owned())),
            None => Err(Failure::Usage("a container id is required".to_owned())),
        }
    }
}

/// Parses flags and operands. With `stops_at_operand` everything from the first operand on is
/// left as it is.
pub(crate) fn parse(
    known: &'static [Flag],
    args: &[String],
    stops_at_operand: bool,
) -> Result<Parsed, Failure> {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            parsed.rest.extend(args.cloned());
            break;
        }
        let Some(text) = arg.strip_prefix('-').filter(|text| !text.is_empty()) else {
            parsed.rest.push(arg.clone());
            if stops_at_operand {
                parsed.rest.extend(args.cloned());
                break;
            }
            continue;
        };
        let text = text.strip_prefix('-').unwrap_or(text);
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let is_named = |flag: &&Flag| {
            flag.name == name || flag.short.is_some_and(|short| name.chars().eq([short]))
        };
        let flag = known
            .iter()
            .find(is_named)
            .ok_or_else(|| Failure::Usage(format!("flag provided but not defined: -{name}")))?;
        let value = match (flag.takes_value, inline) {
            (false, Some(value)) => {
                boolean(&value).map(|is_set| is_set.to_string()).ok_or_else(|| {
                    Failure::Usage(format!("invalid boolean value {value:?} for -{name}"))
                })?
            }
            (true, Some(value)) => value,
            (false, None) => "true".to_owned(),
            (true, None) => args
                .next()
                .cloned()
                .ok_or_else(|| Failure::Usage(format!("flag needs an argument: -{name}")))?,
        };
        parsed.flags.0.push((flag.name, value));
    }
    Ok(parsed)
}

/// A switch's value as Go reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Help on everything.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "gantry-runtime - OCI runtime\n\nUSAGE:\n   gantry-runtime [global options] command \
         [options] [arguments…]\n\nCOMMANDS:\n",
    );
    for command in &COMMANDS {
        let _ = writeln!(text, "   {:<12}{}", command.name, command.about);
    }
    text.push_str("\nGLOBAL OPTIONS:\n");
    list_flags(&mut text, GLOBAL);
    text
}

/// Help on one command.
pub(crate) fn help_for(command: &Command) -> String {
    let mut text = format!(
        "gantry-runtime {} - {}\n\nUSAGE:\n   gantry-runtime {} [options] {}\n\nOPTIONS:\n",
        command.name, command.about, command.name, command.operands
    );
    list_flags(&mut text, command.flags);
    text
}

fn list_flags(text: &mut String, flags: &[Flag]) {
    for flag in flags {
        let mut names = format!("--{}", flag.name);
        if let Some(short) = flag.short {
            let _ = write!(names, ", -{short}");
        }
        if flag.takes_value {
            names.push_str(" value");
        }
        let _ = writeln!(text, "   {names:<30}{}", flag.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn values_are_taken_from_the_same_or_the_next_argument() {
        let parsed =
            parse(CREATE, &strings(&["--bundle=/b", "-pid-file", "/p", "x"]), false).unwrap();
        assert_eq!(parsed.flags.value("bundle"), Some("/b"));
        assert_eq!(parsed.flags.value("pid-file"), Some("/p"));
        assert_eq!(parsed.id().unwrap(), "x");
    }

    #[test]
    fn a_program_s_own_flags_are_not_the_runtime_s() {
        let parsed = parse(EXEC, &strings(&["-t", "x", "ls", "-l", "--", "-e"]), true).unwrap();
        assert!(parsed.flags.has("tty"));
        assert_eq!(parsed.rest, strings(&["x", "ls", "-l", "--", "-e"]));
    }

    #[test]
    fn flags_may_follow_the_id_where_nothing_else_does() {
        let delete = command("delete").unwrap();
        let parsed = parse(delete.flags, &strings(&["x", "--force"]), false).unwrap();
        assert!(parsed.flags.has("force"));
    }

    #[test]
    fn what_follows_the_id_is_for_ps() {
        let ps = command("ps").unwrap();
        let args = strings(&["-f", "table", "x", "-o", "pid", "-f"]);
        let parsed = parse(ps.flags, &args, ps.stops_at_operand).unwrap();
        assert_eq!(parsed.rest, strings(&["x", "-o", "pid", "-f"]));
        ps.check_operands(&parsed.rest).unwrap();
    }

    #[test]
    fn operands_that_nobody_wants_are_refused() {
        for (name, most) in [("start", 1), ("run", 1), ("kill", 2), ("list", 0), ("features", 0)] {
            let command = command(name).unwrap();
            let operands = vec!["x".to_owned(); most + 1];
            command.check_operands(&operands[..most]).unwrap();
            assert!(command.check_operands(&operands).is_err(), "{name}");
        }
    }

    #[test]
    fn a_switch_can_be_told_to_be_off() {
        let parsed = |arg: &str| parse(EXEC, &strings(&[arg, "x"]), true);
        assert_eq!(parsed("--no-new-privs=F").unwrap().flags.switch("no-new-privs"), Some(false));
        assert_eq!(parsed("--no-new-privs").unwrap().flags.switch("no-new-privs"), Some(true));
        assert_eq!(parsed("--tty=1").unwrap().flags.switch("no-new-privs"), None);
        assert!(parsed("--tty=maybe").is_err());
    }

    #[test]
    fn unknown_flags_and_missing_values_are_refused() {
        assert!(parse(CREATE, &strings(&["--nope"]), false).is_err());
        assert!(parse(CREATE, &strings(&["--bundle"]), false).is_err());
    }
}
