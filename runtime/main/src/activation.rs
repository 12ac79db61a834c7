//! Sockets that systemd has opened for the container (`sd_listen_fds(3)`): they are the first
//! descriptors from 3 on, and so they are for its program.

/// They are meant for this process, and for who takes over its number.
const PID: &str = "LISTEN_PID";
const COUNT: &str = "LISTEN_FDS";
const NAMES: &str = "LISTEN_FDNAMES";
/// More than systemd would open.
const MAX: u32 = 4096;

/// What the environment says of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    count: u32,
    names: Option<String>,
}

impl Activation {
    /// Those that are meant for this process.
    pub(crate) fn read() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok(), std::process::id())
    }

    fn of(variable: impl Fn(&str) -> Option<String>, own: u32) -> Option<Self> {
        if variable(PID)?.parse() != Ok(own) {
            return None;
        }
        let count = variable(COUNT)?.parse().ok().filter(|count| (1..=MAX).contains(count))?;
        Some(Self { count, names: variable(NAMES) })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Tells the container's program, whose number is 1 in its own namespace.
    pub(crate) fn announce(&self, env: &mut Vec<String>) {
        env.push(format!("{COUNT}={}", self.count));
        env.push(format!("{PID}=1"));
        if let Some(names) = &self.names {
            env.push(format!("{NAMES}={names}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        let of = |pid: &'static str, count: &'static str| {
            let variable = move |name: &str| match name {
                PID => Some(pid.to_owned()),
                COUNT => Some(count.to_owned()),
                _ => None,
            };
            Activation::of(variable, 7)
        };
        assert_eq!(of("7", "2"), Some(Activation { count: 2, names: None }));
        for (pid, count) in [("8", "2"), ("7", "0"), ("7", "-1"), ("7", "x"), ("7", "99999")] {
            assert_eq!(of(pid, count), None, "{pid} {count}");
        }
        assert_eq!(Activation::of(|_| None, 7), None);
    }
}
