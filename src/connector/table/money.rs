//! Where an amount stands in a request, and how the provider writes amounts.

use serde::Deserialize;

/// How much an endpoint moves or asks about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"whole\" or { field, currency, unit } with unit one of decimal_text, decimal_number, minor_number"
)]
pub enum AmountField {
    /// A request field says it.
    Field(AmountPlace),
    /// All there is, whatever that may be: a whole deposit.
    Whole(Whole),
}

/// The word `whole`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whole {
    /// All there is.
    Whole,
}

/// Where the amount stands in the request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountPlace {
    /// The parameter.
    pub field: String,
    /// The parameter that names its currency. Without one the request does not say it, and scripts have to
    /// give money rather than a number, so that limits know what is moved.
    pub currency: Option<String>,
    /// How it is written.
    pub unit: Unit,
}

/// How an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Text in major units: `"100.50"`.
    DecimalText,
    /// A JSON number in major units: `100.50`.
    DecimalNumber,
    /// A JSON number of minor units: `10050`.
    MinorNumber,
}
