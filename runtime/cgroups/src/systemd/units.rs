//! systemd's manager: the calls of `org.freedesktop.systemd1.Manager` that a container needs
//! (org.freedesktop.systemd1(5)).

use super::dbus::{ABSTRACT, Connection, Target, Value};
use super::{Error, Property, Whose};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one conversation may take, with the unit's start or stop in it.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Exists where systemd is the init process (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
const SYSTEM_PRIVATE: &str = "/run/systemd/private";

const DESTINATION: &str = "org.freedesktop.systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const MANAGER: Target<'static> =
    Target { destination: DESTINATION, path: "/org/freedesktop/systemd1", interface: INTERFACE };
const JOB_REMOVED: &str = "JobRemoved";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// What becomes of other jobs for the unit.
const REPLACE: &str = "replace";

/// A conversation with systemd.
pub(super) struct Manager {
    connection: Connection,
    /// Whether jobs' ends reach it: without a bus they always do.
    hears_of_jobs: bool,
}

impl Manager {
    /// Connects to the machine's systemd, or to the user's.
    pub(super) fn connect(whose: Whose) -> Result<Self, Error> {
        if !Path::new(BOOTED).is_dir() {
            return Err(Error::Absent);
        }
        let sockets = sockets(whose)?;
        let mut failure = None;
        for (path, is_on_bus) in sockets {
            match Connection::open(&path, is_on_bus, TIME_LIMIT) {
                Ok(connection) => return Ok(Self { connection, hears_of_jobs: !is_on_bus }),
                // Only where the bus is not there is the other door tried.
                Err(source) => {
                    failure.get_or_insert(Error::Connect { path, source });
                }
            }
        }
        Err(failure.unwrap_or(Error::NoUserBus))
    }

    /// The cgroup below which all units' are: empty for the machine's systemd.
    pub(super) fn control_group(&mut self) -> Result<String, Error> {
        self.property("ControlGroup")
    }

    /// Its version's first number; 0 if it cannot be read.
    fn version(&mut self) -> Result<u32, Error> {
        let text = self.property("Version")?;
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Ok(digits[..end].parse().unwrap_or(0))
    }

    fn property(&mut self, name: &str) -> Result<String, Error> {
        let properties = Target { interface: "org.freedesktop.DBus.Properties", ..MANAGER };
        let arguments = [Value::text(INTERFACE), Value::text(name)];
        let answer = self.connection.call(properties, "Get", &arguments);
        let answer = answer.map_err(|source| Error::Call { call: "Get", source })?;
        match answer.arguments.into_iter().next() {
            Some(Value::Variant(value)) => match *value {
                Value::Text(text) => Ok(text),
                _ => Err(Error::Answer("Get")),
            },
            _ => Err(Error::Answer("Get")),
        }
    }

    /// Starts a scope and waits until it is there. One of that name which failed earlier, and is
    /// kept for people to look at, makes room.
    pub(super) fn start(&mut self, unit: &str, properties: &[Property]) -> Result<(), Error> {
        let arguments = [
            Value::text(unit),
            Value::text(REPLACE),
            array(properties),
            // Auxiliary units: none.
            Value::Array("(sa(sv))".to_owned(), Vec::new()),
        ];
        match self.run_job("StartTransientUnit", unit, &arguments) {
            Err(Error::Call { source, .. }) if source.is(UNIT_EXISTS) => {
                self.reset_failed(unit)?;
                self.run_job("StartTransientUnit", unit, &arguments)
            }
            result => result,
        }
    }

    /// Stops a unit, waits until it is stopped, and has systemd forget it; one that it has
    /// forgotten already is fine.
    pub(super) fn stop(&mut self, unit: &str) -> Result<(), Error> {
        let arguments = [Value::text(unit), Value::text(REPLACE)];
        match self.run_job("StopUnit", unit, &arguments) {
            Err(Error::Call { source, .. }) if source.is(NO_SUCH_UNIT) => Ok(()),
            result => result.and_then(|()| self.reset_failed(unit)),
        }
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        match self.connection.call(MANAGER, "ResetFailedUnit", &[Value::text(unit)]) {
            Err(source) if !source.is(NO_SUCH_UNIT) => {
                Err(Error::Call { call: "ResetFailedUnit", source })
            }
            _ => Ok(()),
        }
    }

    /// Changes properties of a unit until it is stopped; those that this systemd is too old for
    /// are left out.
    pub(super) fn set(&mut self, unit: &str, mut properties: Vec<Property>) -> Result<(), Error> {
        if properties.iter().any(|property| property.since > 0) {
            let version = self.version()?;
            properties.retain(|property| property.since <= version);
        }
        if properties.is_empty() {
            return Ok(());
        }
        let arguments = [Value::text(unit), Value::Bool(true), array(&properties)];
        let answer = self.connection.call(MANAGER, "SetUnitProperties", &arguments);
        answer.map(drop).map_err(|source| Error::Call { call: "SetUnitProperties", source })
    }

    /// Has a process moved to a unit's cgroup, or to one below it (`/below`). The user's systemd asks
    /// the machine's where it may not do that itself.
    pub(super) fn attach(&mut self, unit: &str, below: &str, pid: u32) -> Result<(), Error> {
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid)]);
        let arguments = [Value::text(unit), Value::text(below), pids];
        let answer = self.connection.call(MANAGER, "AttachProcessesToUnit", &arguments);
        answer.map(drop).map_err(|source| Error::Call { call: "AttachProcessesToUnit", source })
    }

    /// Makes a call that begins a job, and waits for the job's end.
    fn run_job(&mut self, call: &'static str, unit: &str, args: &[Value]) -> Result<(), Error> {
        let failed = |call| move |source| Error::Call { call, source };
        if !self.hears_of_jobs {
            let rule = format!(
                "type='signal',sender='{DESTINATION}',interface='{INTERFACE}',member='{JOB_REMOVED}'"
            );
            self.connection.add_match(&rule).map_err(failed("AddMatch"))?;
            let _ = self.connection.call(MANAGER, "Subscribe", &[]).map_err(failed("Subscribe"))?;
            self.hears_of_jobs = true;
        }
        let answer = self.connection.call(MANAGER, call, args).map_err(failed(call))?;
        let Some(Value::Path(job)) = answer.arguments.first() else {
            return Err(Error::Answer(call));
        };
        let ended =
            self.connection.wait_for(
                &answer.sender,
                INTERFACE,
                JOB_REMOVED,
                |signal| match signal {
                    [_, Value::Path(path), _, Value::Text(result)] if path == job => {
                        Some(result.clone())
                    }
                    _ => None,
                },
            );
        match ended.map_err(failed(call))?.as_str() {
            "done" => Ok(()),
            result => Err(Error::Job { call, unit: unit.to_owned(), result: result.to_owned() }),
        }
    }
}

fn array(properties: &[Property]) -> Value {
    let pair = |Property { name, value, .. }: &Property| {
        Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value.clone()))])
    };
    Value::Array("(sv)".to_owned(), properties.iter().map(pair).collect())
}

/// Where to find systemd, and whether that is through a bus; the private sockets are for their
/// owner alone, and there even when no bus runs.
fn sockets(whose: Whose) -> Result<Vec<(PathBuf, bool)>, Error> {
    if whose == Whose::Machine {
        return Ok(vec![(SYSTEM_BUS.into(), true), (SYSTEM_PRIVATE.into(), false)]);
    }
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let found = users_sockets(&address, folder.as_deref().map(Path::new));
    if found.is_empty() { Err(Error::NoUserBus) } else { Ok(found) }
}

/// The same for the user's: the bus of an address, or else the one in the user's runtime folder.
fn users_sockets(address: &str, folder: Option<&Path>) -> Vec<(PathBuf, bool)> {
    let mut found: Vec<_> = named_sockets(address).map(|path| (path, true)).collect();
    if let Some(folder) = folder {
        if found.is_empty() {
            found.push((folder.join("bus"), true));
        }
        found.push((folder.join("systemd/private"), false));
    }
    found
}

/// The Unix sockets of an address (D-Bus specification, "Server Addresses").
fn named_sockets(address: &str) -> impl Iterator<Item = PathBuf> {
    address.split(';').filter_map(|one| {
        let keys = one.strip_prefix("unix:")?;
        keys.split(',').find_map(|pair| match pair.split_once('=')? {
            ("path", path) => Some(PathBuf::from(OsString::from_vec(unescape(path)?))),
            ("abstract", name) => {
                let mut marked = vec![ABSTRACT];
                marked.extend(unescape(name)?);
                Some(PathBuf::from(OsString::from_vec(marked)))
            }
            _ => None,
        })
    })
}

/// A value of an address, in which a byte may be written as `%` and two digits.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut pieces = value.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(address: &str, folder: Option<&str>) -> Vec<String> {
        let found = users_sockets(address, folder.map(Path::new)).into_iter();
        found.map(|(path, is_bus)| format!("{} {is_bus}", path.display())).collect()
    }

    #[test]
    fn the_address_comes_before_the_runtime_folder() {
        let folder = Some("/run/user/5");
        let private = "/run/user/5/systemd/private false";
        assert_eq!(sockets("", folder), ["/run/user/5/bus true", private]);
        assert_eq!(sockets("unix:path=/a,guid=7", folder), ["/a true", private]);
        assert_eq!(sockets("unix:path=/a", None), ["/a true"]);
        assert!(sockets("", None).is_empty());
        // No way to any of these, but to the usual place.
        for other in ["tcp:host=localhost,port=1", "unix:runtime=yes", "unix:path=/a%2", "launchd:"]
        {
            assert_eq!(sockets(other, folder), ["/run/user/5/bus true", private], "{other}");
        }
    }

    #[test]
    fn addresses_are_lists_of_abstract_and_escaped_ones() {
        let address = "tcp:port=1;unix:guid=7,abstract=/tmp/dbus-%61b;unix:path=/a%20b%2Cc";
        assert_eq!(sockets(address, None), ["@/tmp/dbus-ab true", "/a b,c true"]);
    }
}
