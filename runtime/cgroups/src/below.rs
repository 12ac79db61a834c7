//! Groups below a container's own, for further processes (`exec --cgroup`).

use crate::Error;
use std::path::{Component, Path, PathBuf};

/// Which group below its container's a further process goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// In every hierarchy that is not named apart.
    everywhere: Option<PathBuf>,
    /// By controller (v1).
    apart: Vec<(String, PathBuf)>,
}

impl Below {
    /// Reads arguments as runc's: a path, or `CONTROLLER[,CONTROLLER…]:PATH` as often as needed.
    ///
    /// # Errors
    /// A path that climbs out, a controller that is named twice or not at all.
    pub fn parse<'a>(arguments: impl Iterator<Item = &'a str>) -> Result<Self, Error> {
        let mut below = Self::default();
        let mut count = 0;
        for argument in arguments {
            let wrong = || Error::Invalid { what: "cgroup", value: argument.to_owned() };
            count += 1;
            let Some((controllers, path)) = argument.split_once(':') else {
                below.everywhere = Some(inside(argument).ok_or_else(wrong)?);
                continue;
            };
            let path = inside(path).ok_or_else(wrong)?;
            for controller in controllers.split(',') {
                if controller.is_empty() || below.apart.iter().any(|(name, _)| name == controller) {
                    return Err(wrong());
                }
                below.apart.push((controller.to_owned(), path.clone()));
            }
        }
        if below.everywhere.is_some() && count > 1 {
            return Err(Error::Invalid {
                what: "cgroup",
                value: "a path beside others".to_owned(),
            });
        }
        Ok(below)
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The folder below `own` in the hierarchy with these controllers (`cpu,cpuacct`).
    pub(crate) fn of(&self, own: &Path, controllers: &str) -> PathBuf {
        let has = |name: &str| controllers.split(',').any(|controller| controller == name);
        let apart = self.apart.iter().find(|(name, _)| has(name)).map(|(_, path)| path);
        apart.or(self.everywhere.as_ref()).map_or_else(|| own.to_owned(), |path| own.join(path))
    }

    /// A controller that is named and not among these.
    pub(crate) fn unknown(&self, has: impl Fn(&str) -> bool) -> Option<&str> {
        self.apart.iter().map(|(name, _)| name.as_str()).find(|name| !has(name))
    }
}

/// The path relative to the container's folder, if it stays below.
fn inside(path: &str) -> Option<PathBuf> {
    Path::new(path)
        .components()
        .filter(|part| !matches!(part, Component::RootDir | Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Below, Error> {
        Below::parse(arguments.iter().copied())
    }

    #[test]
    fn a_path_counts_everywhere_and_controllers_apart() {
        let own = Path::new("/cg/x");
        assert_eq!(parse(&["/a/b"]).unwrap().of(own, "memory"), Path::new("/cg/x/a/b"));
        let below = parse(&["memory:a", "cpu,pids:b"]).unwrap();
        assert_eq!(below.of(own, "memory"), Path::new("/cg/x/a"));
        assert_eq!(below.of(own, "cpu,cpuacct"), Path::new("/cg/x/b"));
        assert_eq!(below.of(own, "freezer"), own);
        assert_eq!(below.unknown(|name| name != "pids"), Some("pids"));
        assert!(parse(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_climbs_out_or_is_said_twice_is_refused() {
        for bad in [&["../x"][..], &["a/../../x"], &["a", "b"], &[":a"], &["cpu:a", "cpu:b"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
