//! Creating a container, with the image pulled when it is not there.

use super::options;
use crate::arguments::Arguments;
use crate::failure::{Failure, told};
use crate::image::pull;
use crate::output::{self, Out};
use crate::session::Session;
use base_ids::reference::{Reference, is_image_id};
use client_http::Error;
use contracts_engine_api::container::{CreateRequest, CreateResponse};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The command whose failures are told like any other command's.
const CREATE: &str = "create";

/// When to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pull {
    Always,
    Missing,
    Never,
}

/// What creation works on: the request, and how failures are told.
pub(super) struct Creation<'s> {
    pub(super) session: &'s Session,
    pub(super) command: &'static str,
    pub(super) request: CreateRequest,
    /// The image's name; `None` when it is given by its id.
    reference: Option<Reference>,
    name: String,
    platform: String,
    pull: Pull,
    quiet: bool,
}

impl<'s> Creation<'s> {
    /// Reads the flags.
    pub(super) fn prepare(
        session: &'s Session,
        command: &'static str,
        arguments: &Arguments,
    ) -> Result<Self, Failure> {
        let wrong = |text: String| with_help(session, command, 125, &text);
        if arguments.on("rm") && !matches!(arguments.text("restart"), "" | "no") {
            let text = "conflicting options: cannot specify both --restart and --rm";
            return Err(wrong(text.to_owned()));
        }
        if arguments.on("use-api-socket") {
            return Err(wrong("--use-api-socket is not implemented".to_owned()));
        }
        let pull = match arguments.text("pull") {
            "always" => Pull::Always,
            "missing" | "" => Pull::Missing,
            "never" => Pull::Never,
            other => {
                let text = format!(
                    "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
                );
                return Err(wrong(text));
            }
        };
        let request = options::create_request(session, arguments).map_err(wrong)?;
        // An image's id is no name: there is nothing to pull where it is not there.
        let reference = match request.config.image.as_str() {
            id if is_image_id(id) => None,
            name => Some(Reference::parse(name).map_err(|error| wrong(error.to_string()))?),
        };
        let mut creation = Self {
            session,
            command,
            request,
            reference,
            name: arguments.text("name").to_owned(),
            platform: arguments.text("platform").to_owned(),
            pull,
            quiet: arguments.on("quiet"),
        };
        creation.add_proxies();
        Ok(creation)
    }

    /// Creates the container, and warns of what the daemon warns of.
    pub(super) fn create(&self) -> Result<CreateResponse, Failure> {
        let cid_file = CidFile::claim(
            self.request.host_config.as_ref().map_or("", |host| host.container_id_file.as_str()),
        )
        .map_err(|text| self.wrong(125, &text))?;
        if let (Pull::Always, Some(reference)) = (self.pull, &self.reference) {
            self.pull_image(reference)?;
        }
        let answer = match (self.send(), &self.reference) {
            (Err(error), Some(reference)) if error.is_not_found() && self.pull == Pull::Missing => {
                if !self.quiet {
                    let image = reference.familiar();
                    output::note(format!("Unable to find image '{image}' locally"));
                }
                self.pull_image(reference)?;
                self.send()
            }
            (answer, _) => answer,
        };
        let answer = answer.map_err(|error| self.failed(&error))?;
        for warning in &answer.warnings {
            output::note(format!("WARNING: {warning}"));
        }
        cid_file.write(&answer.id).map_err(|text| self.wrong(125, &text))?;
        Ok(answer)
    }

    fn send(&self) -> Result<CreateResponse, Error> {
        self.session
            .client
            .post("/containers/create")
            .query_if("name", (!self.name.is_empty()).then_some(self.name.as_str()))
            .query_if("platform", (!self.platform.is_empty()).then_some(self.platform.as_str()))
            .json(&self.request)
            .fetch()
    }

    fn pull_image(&self, reference: &Reference) -> Result<(), Failure> {
        let to = (!self.quiet).then_some(Out::Stderr);
        pull::fetch(self.session, reference, &self.platform, to).map_err(|failure| {
            let text = failure.told().unwrap_or_default();
            self.wrong(125, &text)
        })
    }

    /// A failed request in words, and the exit code that Docker takes from them.
    pub(super) fn failed(&self, error: &Error) -> Failure {
        let text = told(error);
        self.wrong(exit_code(&text), &text)
    }

    fn wrong(&self, code: i32, text: &str) -> Failure {
        with_help(self.session, self.command, code, text)
    }

    /// Containers are told of the user's proxies, unless they are told of others.
    fn add_proxies(&mut self) {
        let Some(proxies) = self.session.config.proxies_for(self.session.client.host()) else {
            return;
        };
        let env = self.request.config.env.get_or_insert_default();
        for (name, value) in proxies.variables() {
            for name in [name.to_owned(), name.to_lowercase()] {
                if !env.iter().any(|known| known.split('=').next() == Some(name.as_str())) {
                    env.push(format!("{name}={value}"));
                }
            }
        }
    }
}

/// docker/cli `toStatusError`: 127 for a command that is not there, 126 for one that may not run.
fn exit_code(text: &str) -> i32 {
    if text.contains("executable file not found") || text.contains("no such file or directory") {
        127
    } else if text.contains("permission denied") || text.contains("is a directory") {
        126
    } else {
        125
    }
}

fn with_help(session: &Session, command: &str, code: i32, text: &str) -> Failure {
    let program = &session.program;
    // Only `run` has codes of its own, because it passes on the container's.
    if command == CREATE {
        return Failure::text(text);
    }
    Failure::message(
        code,
        format!("{program}: {text}\n\nRun '{program} {command} --help' for more information"),
    )
}

/// The file for the container's id: claimed before the container is created.
struct CidFile(Option<(PathBuf, std::fs::File)>);

impl CidFile {
    fn claim(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Ok(Self(None));
        }
        match std::fs::File::create_new(path) {
            Ok(file) => Ok(Self(Some((Path::new(path).to_owned(), file)))),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )),
            Err(error) => Err(format!("failed to create the container ID file: {error}")),
        }
    }

    fn write(mut self, id: &str) -> Result<(), String> {
        match self.0.take() {
            None => Ok(()),
            Some((_, mut file)) => file.write_all(id.as_bytes()).map_err(|error| {
                format!("failed to write the container ID ({id}) to file: {error}")
            }),
        }
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        // No container came of it: no file either.
        if let Some((path, _)) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_come_from_the_words() {
        assert_eq!(exit_code("exec: \"x\": executable file not found in $PATH"), 127);
        assert_eq!(exit_code("exec /x: permission denied"), 126);
        assert_eq!(exit_code("Conflict. The container name"), 125);
    }

    #[test]
    fn the_id_file_goes_away_when_no_container_comes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id");
        let path = path.to_str().unwrap();
        drop(CidFile::claim(path).unwrap());
        assert!(!Path::new(path).exists());
        CidFile::claim(path).unwrap().write("abc").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "abc");
        assert!(CidFile::claim(path).is_err());
    }
}
