//! Times, durations and foreign text as people read them. Pure.

use std::time::Duration;

use chrono::TimeDelta;

use crate::base::clock::Instant;

/// Text that came from outside, made safe for a terminal: what could move the cursor, change colours or hide
/// a line is shown instead of obeyed.
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let shown = if is_hostile(letter) {
                Some(letter.escape_unicode())
            } else {
                None
            };
            let kept = if shown.is_none() { Some(letter) } else { None };
            shown.into_iter().flatten().chain(kept)
        })
        .collect()
}

fn is_hostile(letter: char) -> bool {
    // Marks that reverse the direction of text can make one account look like another.
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (letter.is_control() && letter != '\n')
}

/// The same on one line.
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    clean(&words.join(" "))
}

/// At most this many characters, the last of them an ellipsis if something was left out.
pub fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(length.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// `2026-11-20 18:00:03Z`.
pub fn time(at: Instant) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How long from `now` to `at`: `3 min ago`, `in 2 h`.
pub fn relative(at: Instant, now: Instant) -> String {
    let distance = at - now;
    let length = rough(distance.abs());
    match distance {
        distance if distance.abs() < TimeDelta::seconds(1) => "now".to_owned(),
        distance if distance < TimeDelta::zero() => format!("{length} ago"),
        _ => format!("in {length}"),
    }
}

fn rough(length: TimeDelta) -> String {
    let units = [
        (length.num_days() / 365, "y"),
        (length.num_days(), "d"),
        (length.num_hours(), "h"),
        (length.num_minutes(), "min"),
        (length.num_seconds(), "s"),
    ];
    let (count, unit) = units.into_iter().find(|(count, _)| *count > 0).unwrap_or((0, "s"));
    format!("{count} {unit}")
}

/// How long something took: `203 ms`, `1.84 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(took: TimeDelta) -> String {
    let took = took.to_std().unwrap_or(Duration::ZERO);
    let (seconds, millis) = (took.as_secs(), took.subsec_millis());
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{:02} s", millis / 10),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// `1 run`, `3 runs`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
