//! What a parameter may be beyond its kind: which characters a text has, and how a time is written.

use serde::{Deserialize, Deserializer};

/// The only characters of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chars {
    /// Letters of ASCII, and digits.
    Alnum,
    /// Digits.
    Digits,
}

impl Chars {
    /// Whether a character is one of them.
    pub fn have(self, letter: char) -> bool {
        match self {
            Self::Alnum => letter.is_ascii_alphanumeric(),
            Self::Digits => letter.is_ascii_digit(),
        }
    }

    /// What a person calls them.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Alnum => "letters without accents and digits",
            Self::Digits => "digits",
        }
    }
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeForm {
    /// `2026-05-01T09:30:00Z`, and as many decimals as there are.
    #[default]
    Rfc3339,
    /// `2026-05-01T09:30:00.000Z`.
    Rfc3339Ms,
    /// A number of seconds since 1970.
    Unix,
    /// A number of milliseconds since 1970.
    UnixMs,
    /// A number of seconds since 1970, as text.
    UnixText,
    /// `2026-05-01`.
    Date,
}

impl TimeForm {
    /// The words for them, as tables and settings write them.
    pub const WORDS: &[(&str, Self)] = &[
        ("rfc3339", Self::Rfc3339),
        ("rfc3339_ms", Self::Rfc3339Ms),
        ("unix", Self::Unix),
        ("unix_ms", Self::UnixMs),
        ("unix_text", Self::UnixText),
        ("date", Self::Date),
    ];

    /// The one that a word means.
    pub fn of_word(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.iter();
        words.find(|(known, _)| *known == word).map(|(_, form)| *form)
    }
}

/// How an answer says times, where it is not as RFC 3339 has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Numbers of seconds, or of milliseconds, since 1970: which of the two can be seen.
    Unix,
}

/// How a time is written: always so, or as a connection says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Always so.
    Fixed(TimeForm),
    /// As this setting of the connection says: `{setting.NAME}`.
    Setting(String),
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let setting = text.strip_prefix("{setting.").and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = setting {
            return Ok(Self::Setting(name.to_owned()));
        }
        TimeForm::of_word(&text).map(Self::Fixed).ok_or_else(|| {
            let words: Vec<&str> = TimeForm::WORDS.iter().map(|(word, _)| *word).collect();
            serde::de::Error::custom(format!(
                "`{text}` is no form of a time: expected {{setting.NAME}} or one of {}",
                words.join(", ")
            ))
        })
    }
}
