//! Reading what a script passed: every mistake is named, with what was expected and what it may have meant.

use chrono::TimeDelta;
use rust_decimal::Decimal;

use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::base::suggest::nearest;
use crate::engine::turn::fail;
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The arguments of one call of a primitive that takes a map.
pub(super) struct Args<'a> {
    primitive: &'static str,
    map: &'a Map,
}

/// A mistake in the arguments: a failure the script may catch.
pub(super) fn invalid(message: impl Into<String>) -> Thrown {
    fail("invalid_argument", message)
}

impl<'a> Args<'a> {
    /// The map `value`, with no other keys than those.
    pub(super) fn new(primitive: &'static str, value: &'a Value, known: &[&str]) -> Result<Self, Thrown> {
        let Value::Map(map) = value else {
            return Err(invalid(format!(
                "`{primitive}` takes a map such as #{{ {}: … }}, not {}",
                known.join(": …, "),
                value.kind()
            )));
        };
        if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
            let hint = nearest(unknown, known.iter().copied()).map_or_else(
                || format!("it takes {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(invalid(format!("`{primitive}` does not take `{unknown}`; {hint}")));
        }
        Ok(Self { primitive, map })
    }

    /// What stands there, unless it is nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// What has to stand there.
    pub(super) fn required(&self, key: &str) -> Result<&'a Value, Thrown> {
        self.get(key)
            .ok_or_else(|| invalid(format!("`{}` needs `{key}`", self.primitive)))
    }

    fn wrong(&self, key: &str, expected: &str, value: &Value) -> Thrown {
        invalid(format!(
            "`{key}` of `{}` has to be {expected}, not {}",
            self.primitive,
            value.kind()
        ))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Thrown> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_text().map(Some).ok_or_else(|| self.wrong(key, "text", value))
    }

    pub(super) fn required_text(&self, key: &str) -> Result<&'a str, Thrown> {
        let value = self.required(key)?;
        value.as_text().ok_or_else(|| self.wrong(key, "text", value))
    }

    pub(super) fn money(&self, key: &str) -> Result<Option<Money>, Thrown> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Money(money)) => Ok(Some(*money)),
            Some(value) => Err(self.wrong(key, "an amount of money, such as EUR(100.50)", value)),
        }
    }

    pub(super) fn required_money(&self, key: &str) -> Result<Money, Thrown> {
        self.required(key)?;
        self.money(key)?
            .ok_or_else(|| invalid(format!("`{}` needs `{key}`", self.primitive)))
    }

    pub(super) fn decimal(&self, key: &str) -> Result<Option<Decimal>, Thrown> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_decimal()
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a number", value))
    }

    pub(super) fn truth(&self, key: &str) -> Result<bool, Thrown> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(value) => Err(self.wrong(key, "true or false", value)),
        }
    }

    pub(super) fn list(&self, key: &str) -> Result<&'a [Value], Thrown> {
        let value = self.required(key)?;
        value.as_list().ok_or_else(|| self.wrong(key, "a list", value))
    }

    pub(super) fn map(&self, key: &str) -> Result<Option<&'a Map>, Thrown> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_map().map(Some).ok_or_else(|| self.wrong(key, "a map", value))
    }

    pub(super) fn time(&self, key: &str) -> Result<Option<Instant>, Thrown> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Time(time)) => Ok(Some(*time)),
            Some(value) => Err(self.wrong(key, "a time, such as now() - days(2)", value)),
        }
    }

    pub(super) fn duration(&self, key: &str) -> Result<Option<TimeDelta>, Thrown> {
        self.get(key).map(|value| duration(self.primitive, value)).transpose()
    }
}

/// A length of time: `hours(2)`, `"2h"`, or a whole number of seconds.
pub(super) fn duration(primitive: &str, value: &Value) -> Result<TimeDelta, Thrown> {
    let parsed = match value {
        Value::Duration(duration) => Some(*duration),
        Value::Int(seconds) => TimeDelta::try_seconds(*seconds),
        Value::Text(text) => parse_duration(text),
        _ => None,
    };
    parsed.filter(|duration| *duration >= TimeDelta::zero()).ok_or_else(|| {
        invalid(format!(
            "`{primitive}` takes a length of time such as \"2h\", \"3d\" or minutes(30), not `{value}`"
        ))
    })
}

/// `90s`, `30m`, `2h`, `3d`, `1w`, or several of them one after the other: `1h30m`.
fn parse_duration(text: &str) -> Option<TimeDelta> {
    let mut total = TimeDelta::zero();
    let mut digits = String::new();
    for letter in text.trim().chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let number: i64 = digits.parse().ok()?;
        digits.clear();
        let part = match letter {
            's' => TimeDelta::try_seconds(number),
            'm' => TimeDelta::try_minutes(number),
            'h' => TimeDelta::try_hours(number),
            'd' => TimeDelta::try_days(number),
            'w' => TimeDelta::try_weeks(number),
            _ => None,
        }?;
        total = total.checked_add(&part)?;
    }
    (digits.is_empty() && !text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_or_refused() {
        let seconds = |text: &str| parse_duration(text).map(|duration| duration.num_seconds());
        assert_eq!(seconds("2h"), Some(7_200));
        assert_eq!(seconds("1h30m"), Some(5_400));
        assert_eq!(seconds("3d"), Some(259_200));
        for wrong in ["", "2", "h", "2 h", "-2h", "2y", "99999999999999999999s"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
