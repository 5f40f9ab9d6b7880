//! "Did you mean": the nearest known word to one that is not known.

/// The candidate most like `word`, if one is near enough to be worth naming.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        // A third of the letters may be wrong, at least one: more is a guess, not a suggestion.
        .filter(|(distance, candidate)| *distance <= (word.chars().count().max(candidate.chars().count()) / 3).max(1))
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}

/// The same for a complaint in serde's words: ``unknown field `x`, expected one of `a`, `b` ``.
pub fn nearest_in_complaint(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let word = quoted.next()?;
    nearest(word, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_and_stays_silent_when_nothing_is_near() {
        assert_eq!(
            nearest("catchup", ["schedule", "catch_up", "timezone"]),
            Some("catch_up")
        );
        assert_eq!(nearest("totl", ["total", "keep"]), Some("total"));
        assert_eq!(nearest("zebra", ["schedule", "timezone"]), None);
    }

    #[test]
    fn a_complaint_names_the_word_and_its_candidates() {
        let complaint = "unknown field `listn`, expected one of `state`, `listen`";
        assert_eq!(nearest_in_complaint(complaint), Some("listen"));
        assert_eq!(nearest_in_complaint("invalid type: map, expected `listen`"), None);
    }
}
