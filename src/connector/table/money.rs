//! Where an amount stands in a request, and how the provider writes amounts.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::money::Currency;

/// How a provider writes amounts: `[money]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoneyTable {
    /// How every amount is written that does not say otherwise.
    pub unit: Option<Unit>,
    /// How many decimals the provider's smallest unit has, by currency, and as `default` for those not named. Without
    /// it, as many as ISO 4217 gives the currency.
    #[serde(default)]
    pub exponent: BTreeMap<String, u32>,
    /// The currency of amounts that name none.
    pub currency: Option<Currency>,
}

/// The entry of [`MoneyTable::exponent`] for currencies without one.
pub(super) const DEFAULT_EXPONENT: &str = "default";

impl MoneyTable {
    /// How many decimals the provider's smallest unit of this currency has.
    pub fn exponent_of(&self, currency: Currency) -> u32 {
        let told = self.exponent.get(currency.code());
        let told = told.or_else(|| self.exponent.get(DEFAULT_EXPONENT));
        told.copied().unwrap_or_else(|| currency.exponent())
    }
}

/// How much an endpoint moves or asks about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"whole\", { before, currency, unit } or { field, currency, unit } with unit one of decimal_text, decimal_number, minor_number"
)]
pub enum AmountField {
    /// A request field says it.
    Field(AmountPlace),
    /// What is read before it is sent says it.
    Before(AmountBefore),
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

/// What says the amount where the request does not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountBefore {
    /// Under which name it is kept.
    pub before: String,
    /// Under which name its currency is; without one it is [`MoneyTable::currency`].
    pub currency: Option<String>,
    /// How it is written, if not as [`MoneyTable::unit`] says.
    pub unit: Option<Unit>,
}

/// Where the amount stands in the request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountPlace {
    /// The parameter.
    pub field: String,
    /// The parameter that names its currency. Without one it is [`MoneyTable::currency`]; without that either the
    /// request does not say it, and scripts have to give money rather than a number, so that limits know what is moved.
    pub currency: Option<String>,
    /// How it is written, if not as [`MoneyTable::unit`] says.
    pub unit: Option<Unit>,
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
