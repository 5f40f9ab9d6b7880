//! What a table says of the thing that a look-up reads, and the values it fills in: what was sent, what was known.
//!
//! Pure. A list of conditions holds if each of them does; an empty one says nothing and never holds.

use chrono::TimeDelta;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::Template;
use crate::base::clock::Instant;
use crate::base::money::parse_plain;
use crate::connector::table::{AmountField, Endpoint, Kind};
use crate::connector::{alike, request};
use crate::model::journal::Intent;
use crate::model::value::Value;

/// Something that has to stand somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where.
    pub at: String,
    /// What: one of these.
    #[serde(default)]
    pub is: Vec<Wanted>,
    /// Or what these come to together.
    #[serde(default)]
    pub is_sum: Vec<Template>,
    /// Or what was sent under this parameter, as it was sent. Where nothing was, anything.
    pub shows: Option<String>,
}

impl Condition {
    /// Every template in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let filled = self.is.iter().filter_map(|wanted| match wanted {
            Wanted::Filled(template) => Some(template),
            Wanted::Absent | Wanted::Fixed(_) => None,
        });
        filled.chain(&self.is_sum)
    }

    pub(super) fn needs_before(&self) -> bool {
        self.templates().any(|template| matches!(template, Template::Before(_)))
    }
}

/// What may stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `"absent"`: nothing.
    Absent,
    /// `"{sent.amount}"`: what was sent, or what is known otherwise.
    Filled(Template),
    /// A value as it stands.
    Fixed(Json),
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let Json::String(text) = &json else {
            return Ok(Self::Fixed(json));
        };
        if text == "absent" {
            return Ok(Self::Absent);
        }
        match Template::read(text).map_err(serde::de::Error::custom)? {
            Template::Fixed(text) => Ok(Self::Fixed(Json::String(text))),
            template => Ok(Self::Filled(template)),
        }
    }
}

/// What templates are filled in with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) effect: &'a Endpoint,
    pub(super) intent: &'a Intent,
    pub(super) window_start: Instant,
    pub(super) window_end: Instant,
}

impl<'a> Filling<'a> {
    /// Without a search: of its times nothing is known.
    pub(super) fn of(effect: &'a Endpoint, intent: &'a Intent) -> Self {
        Self {
            effect,
            intent,
            window_start: Instant::UNIX_EPOCH,
            window_end: Instant::UNIX_EPOCH,
        }
    }

    /// The value of a template, if there is one.
    pub(super) fn value(&self, template: &Template) -> Option<Value> {
        match template {
            Template::WindowStart => Some(Value::Time(self.window_start)),
            Template::WindowEnd => Some(Value::Time(self.window_end)),
            Template::Reference => Some(Value::text(&self.intent.reference)),
            Template::Fixed(text) => Some(Value::text(text)),
            Template::Currency => {
                let amount = self.intent.movement.as_ref()?.amount?;
                Some(Value::text(amount.currency().code()))
            }
            Template::Before(name) => Value::from_plain(self.intent.before.get(name)?).ok(),
            Template::Sent(fields) => {
                let (_, sent) = self.sent(fields)?;
                Value::from_plain(&sent).ok()
            }
        }
    }

    /// The first of these parameters that the request says, with its kind.
    pub(super) fn sent(&self, fields: &[String]) -> Option<(Option<Kind>, Json)> {
        fields.iter().find_map(|field| {
            let sent = request::sent(self.effect, &self.intent.request, field)?;
            Some((self.effect.param(field).map(|param| param.kind), sent))
        })
    }

    /// What something that was known before is: an amount, where the table says so.
    fn kind_of_known(&self, name: &str) -> Option<Kind> {
        match &self.effect.amount {
            Some(AmountField::Before(place)) if place.before == name => Some(Kind::Decimal),
            _ => None,
        }
    }

    /// Whether each of these conditions holds of something. None at all say nothing.
    pub(super) fn all_hold(&self, conditions: &[Condition], item: &Value) -> bool {
        !conditions.is_empty() && conditions.iter().all(|condition| self.holds(condition, item))
    }

    /// Whether it is looked at: no condition passes it over.
    pub(super) fn is_meant(&self, when: &[Condition], item: &Value) -> bool {
        when.iter().all(|condition| self.holds(condition, item))
    }

    fn holds(&self, condition: &Condition, item: &Value) -> bool {
        let shown = item.pointer(&condition.at).unwrap_or(&Value::Null);
        if !condition.is_sum.is_empty() {
            let mut parts = condition.is_sum.iter();
            // A sum that no number holds is shown by none.
            let sum = parts.try_fold(Decimal::ZERO, |sum, template| {
                sum.checked_add(worth(&self.value(template)?)?)
            });
            return sum.is_some() && worth(shown) == sum;
        }
        if let Some(field) = &condition.shows {
            let sent = self.sent(std::slice::from_ref(field));
            return sent.is_none_or(|(kind, sent)| !shown.is_null() && alike::shows(kind, &sent, shown));
        }
        condition.is.iter().any(|wanted| match wanted {
            Wanted::Absent => shown.is_null(),
            Wanted::Fixed(json) => !shown.is_null() && alike::shows(None, json, shown),
            Wanted::Filled(Template::Sent(fields)) => {
                let sent = self.sent(fields);
                sent.is_some_and(|(kind, sent)| !shown.is_null() && alike::shows(kind, &sent, shown))
            }
            Wanted::Filled(Template::Before(name)) => {
                let known = self.intent.before.get(name);
                let kind = self.kind_of_known(name);
                known.is_some_and(|known| !shown.is_null() && alike::shows(kind, known, shown))
            }
            Wanted::Filled(template) => self.value(template).is_some_and(|value| value == *shown),
        })
    }
}

/// A number, or a text that is one.
fn worth(value: &Value) -> Option<Decimal> {
    match value {
        Value::Text(text) => parse_plain(text).ok(),
        value => value.as_decimal(),
    }
}

/// The end of the time in which something may have been made that was sent at the latest then.
pub(super) fn window_end(last_sent: Instant, margin: TimeDelta) -> Instant {
    last_sent + margin.max(TimeDelta::days(1))
}
