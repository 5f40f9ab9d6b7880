//! One operation of a provider: how it is called, what it does outside, and what is done when nobody knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::{AmountField, AmountPlace, KeyPlace, MoneyTable, Need, Pagination, Param, Place, SumRule, Unit};
use crate::connector::lookup::{Before, Lookup, Template};
use crate::model::value::{Map, Value};

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, or does.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a call does outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    Read,
    /// It changes something, but moves no money.
    Write,
    /// It moves money.
    MovesMoney,
}

impl Effect {
    /// As it stands in a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::MovesMoney => "moves_money",
        }
    }
}

/// What is done when nobody knows whether a call had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// Send the same bytes under the same key while the key protects; afterwards look it up if
    /// [`Endpoint::lookup`] says how, else park.
    Repeat,
    /// Look it up as [`Endpoint::lookup`] says; never repeat.
    Lookup,
    /// A person decides.
    #[default]
    Park,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// JSON.
    #[default]
    Json,
    /// Plain text.
    Text,
    /// JSON, else text, else nothing: nobody says what.
    Any,
}

/// One operation of a provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its name in scripts: `create_payout`.
    #[serde(skip)]
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// The method.
    pub method: Method,
    /// The path, with `{name}` where a path parameter goes.
    pub path: String,
    /// What it does outside.
    pub effect: Effect,
    /// The permission a credential needs.
    pub scope: Option<String>,
    /// Whether it is called without a credential.
    #[serde(default)]
    pub public: bool,
    /// Whether it shows the key it is called with: every key that works may make this call.
    #[serde(default)]
    pub shows_key: bool,
    /// Whether it is the read by which a connection is tried.
    #[serde(default)]
    pub probe: bool,
    /// The name of the way in which its answer is a list, if it is one.
    pub list: Option<String>,
    /// That way: follows from `list`.
    #[serde(skip)]
    pub paging: Option<Arc<Pagination>>,
    /// Its parameters.
    #[serde(default)]
    pub params: Vec<Param>,
    /// Those of `[common.NAME]` that it has; they stand among the others.
    #[serde(default)]
    pub common: BTreeMap<String, Need>,
    /// Of each of these groups of parameters exactly one is given.
    #[serde(default)]
    pub one_of: Vec<Vec<String>>,
    /// How much it moves or asks about.
    pub amount: Option<AmountField>,
    /// What the items of a list come to.
    pub sum: Option<SumRule>,
    /// How amounts are written, as the table has it.
    #[serde(skip)]
    pub money: Arc<MoneyTable>,
    /// The request field that names where the money comes from.
    pub source: Option<String>,
    /// The request field that names who gets it.
    pub beneficiary: Option<Beneficiary>,
    /// The request field we may write our reference to.
    pub our_reference: Option<OurReference>,
    /// Where the answer repeats what was asked, for comparison.
    #[serde(default)]
    pub echo: Echo,
    /// What its answer is.
    #[serde(default)]
    pub answer: AnswerKind,
    /// Whether it is sent an empty map, though it has no parameter in its body.
    #[serde(default)]
    pub empty_body: bool,
    /// What is done when its outcome is not known.
    #[serde(default)]
    pub in_doubt: InDoubt,
    /// How its outcome is looked up.
    pub lookup: Option<Lookup>,
    /// The name of what only one at a time may do.
    pub exclusive: Option<Template>,
    /// What is read before it is sent.
    pub before: Option<Before>,
    /// The kind of resource it makes or shows.
    pub resource: Option<String>,
    /// What tells a repeated call from a new one here, if it is not the header that `[idempotency]` names for its method.
    #[serde(rename = "key")]
    pub(super) key_said: Option<KeyPlace>,
    /// What tells a repeated call from a new one: follows from its method and `key`.
    #[serde(skip)]
    pub key: KeyPlace,
    /// Whether doing it twice is doing it once.
    #[serde(default)]
    pub same_twice: bool,
    /// Whether it is looked for before it is sent for the first time: another may have done it.
    #[serde(default)]
    pub look_first: bool,
}

impl Endpoint {
    /// Whether it reads a list.
    pub fn lists(&self) -> bool {
        self.effect == Effect::Read && self.paging.is_some()
    }

    /// Whether the name of what only one at a time may do is read before.
    pub fn named_by_before(&self) -> bool {
        matches!(self.exclusive, Some(Template::Before(_)))
    }

    /// Where its request says an amount, if it does.
    pub fn amount_place(&self) -> Option<&AmountPlace> {
        match self.amount.as_ref()? {
            AmountField::Field(place) => Some(place),
            AmountField::Before(_) | AmountField::Whole(_) => None,
        }
    }

    /// How its amount is written, there and in what it answers.
    pub fn unit(&self) -> Unit {
        let place = self.amount_place();
        let param = place.and_then(|place| self.param(&place.field));
        if let Some(AmountField::Before(place)) = &self.amount {
            return place.unit.or(self.money.unit).unwrap_or(Unit::DecimalText);
        }
        place
            .and_then(|place| place.unit)
            .or_else(|| param.and_then(|param| param.unit))
            .or(self.money.unit)
            .unwrap_or(Unit::DecimalText)
    }

    /// A parameter by the name scripts use.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// The parameters that stand in this place.
    pub fn params_in(&self, place: Place) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(move |param| param.place == place)
    }

    /// How a script calls it: `create_return(#{ deposit_id, [rail] })`.
    pub fn usage(&self) -> String {
        let argument = |param: &&Param| {
            let group = self.one_of.iter().find(|group| group.contains(&param.name));
            match group {
                Some(group) if group.first() == Some(&param.name) => Some(group.join(" | ")),
                Some(_) => None,
                None if param.required => Some(param.name.clone()),
                None => Some(format!("[{}]", param.name)),
            }
        };
        let params: Vec<&Param> = self.taken().collect();
        match params.as_slice() {
            [] => format!("{}()", self.name),
            [only] if only.place == Place::Path => format!("{}({})", self.name, only.name),
            params => {
                let arguments: Vec<String> = params.iter().filter_map(argument).collect();
                format!("{}(#{{ {} }})", self.name, arguments.join(", "))
            }
        }
    }

    /// What a call about something says of itself where that thing shows it: under which account it was made.
    pub fn shown_by(&self, thing: &Value) -> Map {
        let mut said = Map::new();
        for param in &self.params {
            let shown = param.shown.as_deref().and_then(|at| thing.pointer(at)?.as_text());
            if let Some(shown) = shown {
                said.insert(param.name.clone(), Value::text(shown));
            }
        }
        said
    }

    /// The parameters that a script may give.
    pub fn taken(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| param.set.is_none())
    }

    /// Whether it cannot be called without an argument.
    pub fn needs_argument(&self) -> bool {
        !self.one_of.is_empty() || self.taken().any(|param| param.required)
    }
}

/// Where we write our reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurReference {
    /// The parameter, or a member of one (`metadata.bursar`).
    pub field: String,
    /// How it stands there.
    pub form: ReferenceForm,
}

/// How our reference stands in its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceForm {
    /// Alone: scripts leave the field to us.
    #[default]
    Plain,
    /// At the end, behind a space, of what the script writes there.
    End,
}

impl<'de> Deserialize<'de> for OurReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a field, or { field, form = \"end\" }")]
        enum Said {
            Field(String),
            Formed(Formed),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Formed {
            field: String,
            #[serde(default)]
            form: ReferenceForm,
        }
        let (field, form) = match Said::deserialize(deserializer)? {
            Said::Field(field) => (field, ReferenceForm::Plain),
            Said::Formed(Formed { field, form }) => (field, form),
        };
        Ok(Self { field, form })
    }
}

/// Who gets the money.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beneficiary {
    /// The parameter.
    pub field: String,
    /// If it is a map, the members that name an account, as they stand on the wire (`iban.iban`); the others describe
    /// it (a holder's name).
    #[serde(default)]
    pub keys: Vec<String>,
    /// If it is a list, the member in which each of its maps has further ones.
    pub nested: Option<String>,
    /// The parameter that names who gets it where the other is not given.
    pub or: Option<String>,
}

/// Where the answer repeats what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// The amount.
    pub amount: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// Who gets it.
    pub beneficiary: Option<String>,
    /// What it has to show as it was sent: parameter to place. Of a map every member that was sent, of a list as many
    /// items in any order; what the provider adds is passed over.
    #[serde(default)]
    pub same: BTreeMap<String, String>,
}
