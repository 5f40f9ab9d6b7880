//! What a figure is and how it is printed. Knows nothing of what is measured.

use std::fmt;
use std::time::Duration;

/// One line of the output.
pub(crate) struct Figure {
    what: String,
    value: String,
    note: String,
}

impl Figure {
    /// A figure with its own text.
    pub(crate) fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            value: value.into(),
            note: String::new(),
        }
    }

    /// A part of a whole, both in the same unit.
    pub(crate) fn ratio(what: impl Into<String>, part: f64, whole: f64) -> Self {
        Self::new(what, format!("{:.2}", part / whole)).note(format!("{part:.0} of {whole:.0}"))
    }

    /// Adds what one should know beside it.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(&note.into());
        self
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<58} {:>10}", self.what, self.value)?;
        if self.note.is_empty() {
            return Ok(());
        }
        write!(f, "   {}", self.note)
    }
}

/// How many of them in a second.
pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

/// The middle of some measurements.
pub(crate) fn median(mut measured: Vec<f64>) -> f64 {
    measured.sort_by(f64::total_cmp);
    measured.get(measured.len() / 2).copied().unwrap_or_default()
}

/// The value below which this share of the measurements lies, in per cent.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or_default()
}

/// A duration in milliseconds, for people.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

/// Ends the program: nothing can be measured.
#[expect(
    clippy::print_stderr,
    clippy::exit,
    reason = "the one way out of a benchmark that cannot go on"
)]
pub(crate) fn fail(reason: &str) -> ! {
    eprintln!("{reason}");
    std::process::exit(2);
}
