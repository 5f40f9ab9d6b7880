//! Texts that people read, kept to a length.

/// The text, or its beginning with a mark at the end, in at most so many bytes and the mark.
pub fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_texts_are_cut_and_never_within_a_letter() {
        let cut = |text: &str, bytes| shortened(text.to_owned(), bytes);
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc…");
        assert_eq!(cut("aéé", 2), "a…");
        assert_eq!(cut("🏦", 0), "…");
    }
}
