//! IBANs: the ISO 7064 checksum, to refuse wrong ones and to make right ones.

/// Whether the text is an IBAN with a right checksum. Spaces are not allowed.
pub(crate) fn is_valid(iban: &str) -> bool {
    let shape = (15..=34).contains(&iban.len())
        && iban
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && iban.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && iban.bytes().skip(2).take(2).all(|byte| byte.is_ascii_digit());
    shape && remainder(iban.chars().skip(4).chain(iban.chars().take(4))) == 1
}

/// The IBAN of this country and national part, with its check digits.
pub(crate) fn make(country: &str, national: &str) -> String {
    let check = 98 - remainder(national.chars().chain(country.chars()).chain("00".chars()));
    format!("{country}{check:02}{national}")
}

/// Letters count as 10 to 35; the whole number modulo 97.
fn remainder(letters: impl Iterator<Item = char>) -> u32 {
    letters.filter_map(|letter| letter.to_digit(36)).fold(0, |rest, value| {
        let shift = if value > 9 { 100 } else { 10 };
        (rest * shift + value) % 97
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_accepts_real_ibans_and_refuses_a_changed_digit() {
        assert!(is_valid("DE89370400440532013000"));
        assert!(is_valid("GB82WEST12345698765432"));
        assert!(!is_valid("DE89370400440532013001"));
        assert!(!is_valid("DE89 3704 0044 0532 0130 00"));
        assert_eq!(make("DE", "370400440532013000"), "DE89370400440532013000");
    }
}
