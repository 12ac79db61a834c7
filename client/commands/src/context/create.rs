//! `context create` and `context update`.

use super::check_name;
use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::contexts::{self, Contexts, Meta, TLS_FILES};
use crate::failure::Failure;
use crate::flag::{Flag, Kind, parse_bool};
use crate::output;
use crate::session::Session;
use std::path::Path;

/// The longest certificate or key that is read.
const MAX_FILE: u64 = 1024 * 1024;

const DESCRIPTION: Flag = Flag::new("description", Kind::Text, "Description of the context");
const DOCKER: Flag = Flag::new(
    "docker",
    Kind::KeyValues,
    "Where the daemon is: host=, ca=, cert=, key=, skip-tls-verify=, or from=CONTEXT",
)
.default("[]");

static CREATE_FLAGS: &[Flag] = &[
    DESCRIPTION,
    DOCKER,
    Flag::new("from", Kind::Text, "Create the context as a copy of a named one"),
];
static UPDATE_FLAGS: &[Flag] = &[DESCRIPTION, DOCKER];

/// `context create`.
pub(super) static CREATE: Command =
    Command::new("create", "[OPTIONS] CONTEXT", "Create a context", create)
        .flags(&[CREATE_FLAGS])
        .operands(Operands::Exactly(1))
        .without_daemon();

/// `context update`.
pub(super) static UPDATE: Command =
    Command::new("update", "[OPTIONS] CONTEXT", "Update a context", update)
        .flags(&[UPDATE_FLAGS])
        .operands(Operands::Exactly(1))
        .names(Names::Contexts)
        .without_daemon();

/// What the daemon of a context is to be.
#[derive(Default)]
struct Docker {
    host: String,
    skip_verification: bool,
    /// The TLS identity, by file name.
    tls: Vec<(&'static str, Vec<u8>)>,
}

fn create(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.operand();
    check_name(name)?;
    let contexts = session.contexts();
    if contexts.contains(name) {
        return Err(Failure::text(format!("context {name:?} already exists")));
    }
    let from = arguments.text_if_given("from");
    let given = docker(session, arguments)?;
    let (mut meta, docker) = match (from, given) {
        (Some(_), Some(_)) => {
            let text = "cannot use --docker flag when --from is set";
            return Err(Failure::text(text));
        }
        (None, Some(docker)) => (Meta::new(name), docker),
        (from, None) => {
            let (mut meta, docker) = copy_of(session, from.unwrap_or(&session.context))?;
            meta.set_name(name);
            (meta, docker)
        }
    };
    meta.set_host(&docker.host, docker.skip_verification);
    if let Some(text) = arguments.text_if_given("description") {
        meta.set_description(text);
    }
    store(&contexts, &meta, &docker)?;
    told(name, "created")
}

fn update(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.operand();
    check_name(name)?;
    let contexts = session.contexts();
    let mut meta = contexts.read(name).map_err(Failure::text)?;
    if let Some(text) = arguments.text_if_given("description") {
        meta.set_description(text);
    }
    match docker(session, arguments)? {
        Some(docker) => {
            meta.set_host(&docker.host, docker.skip_verification);
            contexts.remove(name).map_err(Failure::text)?;
            store(&contexts, &meta, &docker)?;
        }
        None => contexts.write(&meta).map_err(Failure::text)?,
    }
    told(name, "updated")
}

fn told(name: &str, done: &str) -> Result<(), Failure> {
    output::line(name)?;
    output::note(format!("Successfully {done} context {name:?}"));
    Ok(())
}

fn store(contexts: &Contexts, meta: &Meta, docker: &Docker) -> Result<(), Failure> {
    let write = || {
        contexts.write(meta)?;
        let mut files = docker.tls.iter();
        files.try_for_each(|(file, content)| contexts.write_tls(meta.name(), file, content))
    };
    write().map_err(|error| {
        // Half a context would be one without its TLS.
        let _ = contexts.remove(meta.name());
        Failure::text(error)
    })
}

/// What there is to copy of a context; `default` is what flags and environment say now.
fn copy_of(session: &Session, name: &str) -> Result<(Meta, Docker), Failure> {
    let contexts = session.contexts();
    if name == contexts::DEFAULT {
        let mut meta = Meta::new(name);
        meta.set_description(contexts::DEFAULT_DESCRIPTION);
        let docker = Docker { host: session.default_host.clone(), ..Docker::default() };
        return Ok((meta, docker));
    }
    let meta = contexts.read(name).map_err(Failure::text)?;
    let directory = contexts.tls_directory(name).join("docker");
    let tls = contexts.tls_files(name).into_iter();
    let tls = tls.map(|file| Ok((file, read(&directory.join(file))?)));
    let docker = Docker {
        host: meta.host().to_owned(),
        skip_verification: meta.skips_verification(),
        tls: tls.collect::<Result<_, String>>().map_err(Failure::text)?,
    };
    Ok((meta, docker))
}

/// Reads `--docker key=value,…`; `None` when it was not given.
fn docker(session: &Session, arguments: &Arguments) -> Result<Option<Docker>, Failure> {
    if !arguments.given("docker") {
        return Ok(None);
    }
    let wrong =
        |why: String| Failure::text(format!("unable to create docker endpoint config: {why}"));
    let mut docker = Docker::default();
    for field in arguments.list("docker").flat_map(|text| text.split(',')) {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        match key {
            "from" => docker = copy_of(session, value)?.1,
            "host" => value.clone_into(&mut docker.host),
            "ca" => docker.tls.push((TLS_FILES[0], read(Path::new(value)).map_err(wrong)?)),
            "cert" => docker.tls.push((TLS_FILES[1], read(Path::new(value)).map_err(wrong)?)),
            "key" => docker.tls.push((TLS_FILES[2], read(Path::new(value)).map_err(wrong)?)),
            "skip-tls-verify" => {
                docker.skip_verification = parse_bool(value).map_err(wrong)?;
            }
            key => return Err(wrong(format!("unrecognized config key: {key}"))),
        }
    }
    Ok(Some(docker))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("open {}: no such file or directory", path.display())
        }
        _ => format!("open {}: {error}", path.display()),
    })
}
