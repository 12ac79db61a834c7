//! The requests, in the order in which they are sent.
//!
//! `{name}` in a path stands for a value that an earlier answer was asked to keep.

mod containers;
mod gates;
mod images;
mod requests;
mod system;

use crate::normal::Depth;
use serde_json::Value;

/// The API versions that are compared.
pub const VERSIONS: [&str; 4] = ["1.24", "1.40", "1.44", "1.56"];

/// The image that the scenario uses; it must be there before.
pub const IMAGE: &str = "web:latest";

/// One request.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is called in records and lists; unique.
    pub name: &'static str,
    /// The verb.
    pub method: &'static str,
    /// Path and query behind the version; with a leading `!` as it stands, without a version.
    pub path: &'static str,
    /// Headers besides those of every request.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: Body,
    /// Name and JSON pointer of a value of the answer that later paths need.
    pub keep: Option<(&'static str, &'static str)>,
    /// How much of the answer is compared.
    pub depth: Depth,
}

/// A request's body.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// JSON, with its `Content-Type`.
    Json(Value),
    /// Anything, without a `Content-Type` of its own.
    Text(&'static str),
}

impl Step {
    fn new(name: &'static str, method: &'static str, path: &'static str) -> Self {
        Self {
            name,
            method,
            path,
            headers: &[],
            body: Body::Empty,
            keep: None,
            depth: Depth::Values,
        }
    }

    fn get(name: &'static str, path: &'static str) -> Self {
        Self::new(name, "GET", path)
    }

    fn post(name: &'static str, path: &'static str) -> Self {
        Self::new(name, "POST", path)
    }

    fn delete(name: &'static str, path: &'static str) -> Self {
        Self::new(name, "DELETE", path)
    }

    fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    fn text(
        mut self,
        headers: &'static [(&'static str, &'static str)],
        text: &'static str,
    ) -> Self {
        (self.headers, self.body) = (headers, Body::Text(text));
        self
    }

    fn keep(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keep = Some((name, pointer));
        self
    }

    fn shape(mut self) -> Self {
        self.depth = Depth::Shape;
        self
    }
}

/// All of them.
#[must_use]
pub fn steps() -> Vec<Step> {
    let mut steps = system::steps();
    steps.extend(requests::steps());
    steps.extend(images::steps());
    steps.extend(gates::steps());
    steps.extend(containers::steps());
    steps.extend(system::last_steps());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = steps().iter().map(|step| step.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
