//! Where two answers part.

use crate::recording::{Recorded, Recording};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// One place where two daemons answer differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The API version.
    pub version: String,
    /// The step.
    pub step: String,
    /// The place: `status`, `header NAME`, or a path in the body.
    pub place: String,
    /// What the original has there.
    pub reference: String,
    /// What ours has there.
    pub ours: String,
}

/// A difference that is accepted for now: where it is, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    version: String,
    step: String,
    place: String,
}

/// What is in neither.
const ABSENT: &str = "(absent)";
/// Stands for every version or step in the list of known differences.
const ANY: &str = "*";

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, step, place, reference, ours } = self;
        write!(f, "{version}\t{step}\t{place}\t{reference}\t{ours}")
    }
}

/// Every difference between two recordings of one version.
#[must_use]
pub fn between(version: &str, reference: &Recording, ours: &Recording) -> Vec<Difference> {
    let mut found = BTreeSet::new();
    for theirs in &reference.answers {
        let empty = Recorded::default();
        let mine = ours.answers.iter().find(|mine| mine.step == theirs.step).unwrap_or(&empty);
        let mut note = |place: &str, reference: String, ours: String| {
            if reference != ours {
                found.insert(Difference {
                    version: version.to_owned(),
                    step: theirs.step.clone(),
                    place: place.to_owned(),
                    reference,
                    ours,
                });
            }
        };
        note("status", theirs.status.to_string(), mine.status.to_string());
        for name in theirs.headers.keys().chain(mine.headers.keys()) {
            let value = |answer: &Recorded| {
                answer.headers.get(name).cloned().unwrap_or_else(|| ABSENT.to_owned())
            };
            note(&format!("header {name}"), value(theirs), value(mine));
        }
        compare(".", Some(&theirs.body), Some(&mine.body), &mut note);
    }
    found.into_iter().collect()
}

/// Pairs the elements of two lists: equal ones first, in order (their longest common
/// subsequence), then what is left between them. One missing event is one difference, then, and
/// not a hundred.
fn align<'v>(
    theirs: &'v [Value],
    mine: &'v [Value],
) -> Vec<(Option<&'v Value>, Option<&'v Value>)> {
    // longest[i][j]: of the lists from i and from j on.
    let mut longest = vec![vec![0_usize; mine.len() + 1]; theirs.len() + 1];
    for i in (0..theirs.len()).rev() {
        for j in (0..mine.len()).rev() {
            longest[i][j] = if theirs[i] == mine[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let (mut pairs, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new());
    while i < theirs.len() || j < mine.len() {
        if i < theirs.len() && j < mine.len() && theirs[i] == mine[j] {
            pair(&mut pairs, &mut left, &mut right);
            (i, j) = (i + 1, j + 1);
        } else if j == mine.len() || i < theirs.len() && longest[i + 1][j] >= longest[i][j + 1] {
            left.push(&theirs[i]);
            i += 1;
        } else {
            right.push(&mine[j]);
            j += 1;
        }
    }
    pair(&mut pairs, &mut left, &mut right);
    pairs
}

/// Pairs what stands between two equal elements, by place where there are as many on both sides.
fn pair<'v>(
    pairs: &mut Vec<(Option<&'v Value>, Option<&'v Value>)>,
    left: &mut Vec<&'v Value>,
    right: &mut Vec<&'v Value>,
) {
    if left.len() == right.len() {
        pairs.extend(left.drain(..).zip(right.drain(..)).map(|(l, r)| (Some(l), Some(r))));
    }
    pairs.extend(left.drain(..).map(|only| (Some(only), None)));
    pairs.extend(right.drain(..).map(|only| (None, Some(only))));
}

/// Walks two values together; lists are named without their number.
fn compare(
    path: &str,
    reference: Option<&Value>,
    ours: Option<&Value>,
    note: &mut impl FnMut(&str, String, String),
) {
    match (reference, ours) {
        (Some(Value::Object(theirs)), Some(Value::Object(mine))) => {
            let names: BTreeSet<&String> = theirs.keys().chain(mine.keys()).collect();
            for name in names {
                let inner = format!("{}.{name}", path.trim_end_matches('.'));
                compare(&inner, theirs.get(name), mine.get(name), note);
            }
        }
        (Some(Value::Array(theirs)), Some(Value::Array(mine))) => {
            let inner = format!("{path}[]");
            for (theirs, mine) in align(theirs, mine) {
                compare(&inner, theirs, mine, note);
            }
        }
        (theirs, mine) if theirs == mine => {}
        (theirs, mine) => {
            let show = |value: Option<&Value>| {
                value.map_or_else(|| ABSENT.to_owned(), ToString::to_string)
            };
            note(path, show(theirs), show(mine));
        }
    }
}

impl Known {
    /// Reads the list: version, step, place, reason, separated by tabs.
    ///
    /// # Errors
    /// A line lacks a field, above all its reason.
    pub fn load() -> Result<Vec<Self>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("known-differences.tsv");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines = text.lines().skip(1).filter(|line| !line.is_empty());
        lines.map(Self::parse).collect()
    }

    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [version, step, place, reason] = fields[..] else { bail!("not four fields: {line}") };
        if reason.is_empty() {
            bail!("no reason: {line}");
        }
        Ok(Self { version: version.to_owned(), step: step.to_owned(), place: place.to_owned() })
    }

    fn covers(&self, difference: &Difference) -> bool {
        let is = |wanted: &str, given: &str| wanted == ANY || wanted == given;
        let place = match self.place.strip_suffix('*') {
            Some(start) => difference.place.starts_with(start),
            None => self.place == difference.place,
        };
        place && is(&self.version, &difference.version) && is(&self.step, &difference.step)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}", self.version, self.step, self.place)
    }
}

/// Differences that nobody has accepted, and acceptances that nothing needs any more.
#[must_use]
pub fn judge<'d, 'k>(
    differences: &'d [Difference],
    known: &'k [Known],
) -> (Vec<&'d Difference>, Vec<&'k Known>) {
    let new = differences.iter().filter(|found| !known.iter().any(|line| line.covers(found)));
    let stale = known.iter().filter(|line| !differences.iter().any(|found| line.covers(found)));
    (new.collect(), stale.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn recording(body: Value) -> Recording {
        let answer = Recorded { step: "s".into(), status: 200, body, ..Recorded::default() };
        Recording { daemon: String::new(), answers: vec![answer] }
    }

    #[test]
    fn differences_are_named_field_by_field() {
        let theirs = recording(json!({"A": 1, "B": [{"C": null}], "D": {}}));
        let ours = recording(json!({"A": 2, "B": [{}], "D": {}}));
        let found: Vec<String> =
            between("1.44", &theirs, &ours).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["1.44\ts\t.A\t1\t2", "1.44\ts\t.B[].C\tnull\t(absent)"]);
    }

    #[test]
    fn one_missing_element_is_one_difference() {
        let theirs = recording(json!([1, 2, 3, 4]));
        let ours = recording(json!([1, 3, 4, 5]));
        let found: Vec<String> =
            between("1.44", &theirs, &ours).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["1.44\ts\t.[]\t(absent)\t5", "1.44\ts\t.[]\t2\t(absent)"]);
    }

    #[test]
    fn the_list_of_known_differences_only_shrinks() {
        let found = between("1.44", &recording(json!({"A": 1})), &recording(json!({"A": 2})));
        let known = |line: &str| Known::parse(line).unwrap();
        let lines = [known("*\ts\t.A\tbecause"), known("1.44\ts\t.B*\tbecause")];
        let (new, stale) = judge(&found, &lines);
        assert!(new.is_empty());
        assert_eq!(stale, [&lines[1]]);
        assert!(Known::parse("1.44\ts\t.A\t").is_err());
    }
}
