//! Resource limits.

use crate::{Error, refused};
use base_oci::runtime;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Limits with the kernel's numbers.
#[derive(Clone, Debug, Default)]
pub struct Limits(Vec<(&'static str, Resource, Rlimit)>);

impl Limits {
    /// Reads the configuration's limits.
    ///
    /// # Errors
    /// An unknown type, or one that is given twice (both MUST be errors).
    pub fn parse(rlimits: &[runtime::Rlimit]) -> Result<Self, Error> {
        let mut limits: Vec<(&'static str, Resource, Rlimit)> = Vec::with_capacity(rlimits.len());
        for limit in rlimits {
            let (name, resource) = resource(&limit.kind)
                .ok_or_else(|| Error::Invalid { what: "rlimit type", value: limit.kind.clone() })?;
            if limits.iter().any(|(known, ..)| *known == name) {
                return Err(Error::Duplicate { what: "rlimit", value: limit.kind.clone() });
            }
            let value = |number| if number == u64::MAX { None } else { Some(number) };
            limits.push((
                name,
                resource,
                Rlimit { current: value(limit.soft), maximum: value(limit.hard) },
            ));
        }
        Ok(Self(limits))
    }

    /// Sets them for the calling process.
    ///
    /// # Errors
    /// The kernel's: raising a hard limit needs `CAP_SYS_RESOURCE`.
    pub fn apply(&self) -> Result<(), Error> {
        for (name, resource, limit) in &self.0 {
            setrlimit(*resource, *limit).map_err(refused(format!("set rlimit {name}")))?;
        }
        Ok(())
    }
}

fn resource(name: &str) -> Option<(&'static str, Resource)> {
    Some(match name {
        "RLIMIT_AS" => ("RLIMIT_AS", Resource::As),
        "RLIMIT_CORE" => ("RLIMIT_CORE", Resource::Core),
        "RLIMIT_CPU" => ("RLIMIT_CPU", Resource::Cpu),
        "RLIMIT_DATA" => ("RLIMIT_DATA", Resource::Data),
        "RLIMIT_FSIZE" => ("RLIMIT_FSIZE", Resource::Fsize),
        "RLIMIT_LOCKS" => ("RLIMIT_LOCKS", Resource::Locks),
        "RLIMIT_MEMLOCK" => ("RLIMIT_MEMLOCK", Resource::Memlock),
        "RLIMIT_MSGQUEUE" => ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
        "RLIMIT_NICE" => ("RLIMIT_NICE", Resource::Nice),
        "RLIMIT_NOFILE" => ("RLIMIT_NOFILE", Resource::Nofile),
        "RLIMIT_NPROC" => ("RLIMIT_NPROC", Resource::Nproc),
        "RLIMIT_RSS" => ("RLIMIT_RSS", Resource::Rss),
        "RLIMIT_RTPRIO" => ("RLIMIT_RTPRIO", Resource::Rtprio),
        "RLIMIT_RTTIME" => ("RLIMIT_RTTIME", Resource::Rttime),
        "RLIMIT_SIGPENDING" => ("RLIMIT_SIGPENDING", Resource::Sigpending),
        "RLIMIT_STACK" => ("RLIMIT_STACK", Resource::Stack),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(kind: &str) -> runtime::Rlimit {
        runtime::Rlimit { kind: kind.to_owned(), hard: 2, soft: 1 }
    }

    #[test]
    fn unknown_and_repeated_types_are_errors() {
        assert!(Limits::parse(&[limit("RLIMIT_NOFILE"), limit("RLIMIT_CORE")]).is_ok());
        assert!(Limits::parse(&[limit("RLIMIT_UNHEARD_OF")]).is_err());
        assert!(Limits::parse(&[limit("RLIMIT_CORE"), limit("RLIMIT_CORE")]).is_err());
    }
}
