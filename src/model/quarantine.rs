//! Quarantine: what is made of a run under which the process died, more than once.
//!
//! The interpreter catches what can be caught; a script that still brings the process down would do so at every
//! start, for ever, and every other run with it. The rule:
//!
//! - A process that ends without a word leaves its runs `running`. Each of them has *died* once more.
//! - Deaths count while they follow each other: the run was taken again, nothing was added to its journal, and the
//!   process died again. A turn that ended, or one new line in the journal, and counting begins anew.
//! - From the second on the run is *suspected*: it is not driven, and looked at first. Most such runs are innocent:
//!   somebody ended the process twice while it was at work. So the turn is tried in a process of its own, which
//!   may read but changes nothing and sends nothing. If that ends in good order, the run goes on. If it is brought
//!   down, the run is *quarantined*: parked, until a person lets it go on or ends it.
//! - After ten such deaths it is quarantined unheard: what only happens beside other runs is not seen in a trial.
//!
//! Pure: what is found is an argument.

use super::run::RunError;

/// Deaths after which a trial has nothing more to say.
const DEATHS_MAX: u32 = 10;

/// The code of a run that is parked until it was looked at.
pub const SUSPECTED: &str = "suspected";
/// The code of a run that brings the process down.
pub const QUARANTINED: &str = "quarantined";

/// The deaths of a run that followed each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deaths {
    /// Which turn it was at the last one.
    pub turn: u32,
    /// How long its journal was then.
    pub journal: u32,
    /// How many.
    pub times: u32,
}

impl Deaths {
    /// One more, in this turn and with a journal of this length.
    #[must_use]
    pub fn one_more(before: Option<Self>, turn: u32, journal: u32) -> Self {
        let followed = before.filter(|before| before.turn + 1 == turn && before.journal == journal);
        Self {
            turn,
            journal,
            times: followed.map_or(1, |before| before.times + 1),
        }
    }

    /// Why the run is not driven for now, if it is not.
    pub fn verdict(self) -> Option<RunError> {
        let times = self.times;
        if times < 2 {
            return None;
        }
        if times >= DEATHS_MAX {
            return Some(error(
                QUARANTINED,
                format!(
                    "the process ended {times} times in a row while this run was driven, before it got any further"
                ),
            ));
        }
        Some(error(
            SUSPECTED,
            format!(
                "the process ended {times} times in a row while this run was driven, before it got any further; the \
                 daemon tries it alone before it goes on"
            ),
        ))
    }
}

/// Why a run is quarantined whose trial ended so.
pub fn brought_down(how: &str) -> RunError {
    error(
        QUARANTINED,
        format!(
            "this run brings the process down: it did so more than once, and again in a trial of its own, which \
             ended by {how}"
        ),
    )
}

/// Why a run stays suspected that could not be tried.
pub fn not_tried(why: &str) -> RunError {
    error(
        SUSPECTED,
        format!(
            "the process ended more than once while this run was driven, before it got any further, and it could not be \
             tried alone: {why}"
        ),
    )
}

fn error(code: &str, message: String) -> RunError {
    RunError {
        code: code.to_owned(),
        message,
        trace: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deaths at these turns with journals of these lengths.
    fn after(deaths: &[(u32, u32)]) -> Deaths {
        let all = deaths.iter().fold(None, |before, (turn, journal)| {
            Some(Deaths::one_more(before, *turn, *journal))
        });
        all.expect("at least one")
    }

    fn code(deaths: &[(u32, u32)]) -> Option<String> {
        after(deaths).verdict().map(|error| error.code)
    }

    #[test]
    fn two_in_a_row_without_progress_are_suspicious() {
        for (deaths, expected) in [
            (&[(1, 0)][..], None),
            (&[(1, 0), (2, 0)], Some(SUSPECTED)),
            (&[(3, 7), (4, 7), (5, 7)], Some(SUSPECTED)),
            // It got further, by one line.
            (&[(1, 0), (2, 1)], None),
            (&[(1, 0), (2, 0), (3, 4), (4, 9)], None),
            // A turn between them ended well.
            (&[(1, 5), (3, 5)], None),
        ] {
            assert_eq!(code(deaths).as_deref(), expected, "{deaths:?}");
        }
    }

    #[test]
    fn many_are_enough() {
        let row: Vec<(u32, u32)> = (1..=DEATHS_MAX).map(|turn| (turn, 3)).collect();
        assert_eq!(code(&row).as_deref(), Some(QUARANTINED));
        assert_eq!(code(&row[1..]).as_deref(), Some(SUSPECTED));
    }
}
