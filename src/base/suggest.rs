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
}
