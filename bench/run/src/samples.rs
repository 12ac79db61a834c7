//! Times of one contender.

use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    #[cfg(test)]
    pub(crate) fn from_milliseconds(times: impl IntoIterator<Item = f64>) -> Self {
        Self(times.into_iter().map(|time| Duration::from_secs_f64(time / 1e3)).collect())
    }

    pub(crate) fn median(&self) -> Duration {
        self.at(50)
    }

    /// How many runs these are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that 99 % of the runs did not exceed: the slowest run, where there are fewer than a
    /// hundred.
    pub(crate) fn p99(&self) -> Duration {
        self.at(99)
    }

    pub(crate) fn minimum(&self) -> Duration {
        self.at(0)
    }

    /// The time that this per cent of the runs do not exceed.
    fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let samples = Samples::from_milliseconds((1..=10).map(f64::from));
        assert_eq!(samples.minimum(), Duration::from_millis(1));
        assert_eq!(samples.median(), Duration::from_millis(5));
        assert_eq!(samples.p99(), Duration::from_millis(10));
        assert_eq!(Samples::default().median(), Duration::ZERO);
    }
}
