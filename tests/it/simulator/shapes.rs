//! The documented shapes: which fields a resource has, which of them may be null, and of what form they are.

use serde_json::Value as Json;

/// The form of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Text,
    Uuid,
    Time,
    Amount,
    Bool,
    Number,
    /// One word of a few.
    Word(&'static [&'static str]),
    /// Any object.
    Object,
    Texts,
    Uuids,
    Of(Shape),
    ListOf(Shape),
    /// Null or this.
    Or(&'static Self),
}

/// The fields of an object: exactly these.
pub(crate) type Shape = &'static [(&'static str, Form)];

use Form::{Amount, Bool, ListOf, Number, Object, Of, Or, Text, Texts, Time, Uuid, Uuids, Word};

const CURRENCY: Form = Word(&["EUR", "GBP", "USD", "USDC", "BTC", "ETH", "SOL", "POL"]);
const FAILURE: Shape = &[("code", Text), ("message", Text), ("retry", Bool)];

pub(crate) const PROGRAM: Shape = &[
    ("id", Uuid),
    ("type", Word(&["account_program"])),
    ("label", Text),
    ("account_program_type", Word(&["fbo_program", "fbo_sponsored"])),
    ("status", Word(&["active", "frozen"])),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const PROGRAM_BALANCE: Shape = &[
    ("id", Uuid),
    ("type", Word(&["account_program_balance"])),
    ("amount", Amount),
    ("currency", Word(&["EUR", "GBP", "USD"])),
    ("as_of", Time),
];
pub(crate) const ACCOUNT: Shape = &[
    ("id", Uuid),
    ("type", Word(&["account"])),
    (
        "account_type",
        Word(&["virtual_account", "payment_account", "collateral_account"]),
    ),
    ("asset_type", Word(&["fiat", "crypto"])),
    ("currency", CURRENCY),
    ("label", Text),
    ("status", Word(&["pending", "active", "frozen", "closed"])),
    ("financial_addresses", Form::ListOf(&[])),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const BALANCE: Shape = &[
    ("type", Word(&["account_balance"])),
    ("account_id", Uuid),
    ("amount", Amount),
    ("currency", CURRENCY),
    ("as_of", Time),
];
pub(crate) const API_KEY: Shape = &[
    ("type", Word(&["api_key"])),
    ("id", Uuid),
    ("merchant_id", Uuid),
    ("scopes", Texts),
    ("ip_allow_list", Texts),
    ("expires_at", Or(&Time)),
    ("created_at", Time),
    ("updated_at", Or(&Time)),
    ("api_version", Word(&["2026-05-01"])),
];
pub(crate) const API_VERSION: Shape = &[
    ("type", Word(&["api_version"])),
    ("name", Text),
    ("released_at", Time),
    ("is_latest", Bool),
    ("deprecated_at", Or(&Time)),
    ("sunset_at", Or(&Time)),
];
pub(crate) const SCOPE: Shape = &[
    ("type", Word(&["scope"])),
    ("id", Text),
    ("description", Text),
    ("resource", Text),
    ("action", Word(&["read", "write"])),
    ("available_from", Text),
    ("deprecated_in", Or(&Text)),
];
pub(crate) const PAYOUT: Shape = &[
    ("id", Uuid),
    ("type", Word(&["payout"])),
    ("status", Word(&["pending", "paid", "failed", "returned"])),
    ("source_account_id", Uuid),
    ("amount", Amount),
    ("currency", CURRENCY),
    ("destination", Object),
    ("reference", Text),
    ("failure", Or(&Of(FAILURE))),
    ("metadata", Object),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const CONVERSION: Shape = &[
    ("id", Uuid),
    ("type", Word(&["conversion"])),
    ("quote_id", Or(&Uuid)),
    ("status", Word(&["pending", "completed", "failed"])),
    ("source_amount", Amount),
    ("source_currency", CURRENCY),
    ("target_currency", CURRENCY),
    ("source_account_id", Or(&Uuid)),
    ("target_account_id", Or(&Uuid)),
    ("failure", Or(&Of(&[("message", Text)]))),
    ("metadata", Object),
    ("created_at", Time),
    ("updated_at", Time),
    ("completed_at", Or(&Time)),
];
pub(crate) const INDICATIVE_QUOTE: Shape = &[
    ("source_amount", Amount),
    ("source_currency", CURRENCY),
    ("target_amount", Amount),
    ("target_currency", CURRENCY),
    ("rate", Amount),
    ("venue", Text),
    ("fee", Or(&Of(&[("amount", Amount), ("currency", CURRENCY)]))),
    ("quoted_at", Time),
];
pub(crate) const QUOTE: Shape = &[
    ("id", Uuid),
    ("type", Word(&["quote"])),
    ("status", Text),
    (
        "funding_status",
        Word(&["pending", "sent", "completed", "failed", "on_hold"]),
    ),
    ("source_amount", Amount),
    ("source_currency", CURRENCY),
    ("target_amount", Amount),
    ("target_currency", CURRENCY),
    ("exchange_rate", Amount),
    ("venue", Text),
    ("expires_at", Time),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const DEPOSIT: Shape = &[
    ("id", Uuid),
    ("type", Word(&["deposit"])),
    (
        "status",
        Word(&["received", "in_return", "returned", "return_failed", "return_returned"]),
    ),
    ("amount", Amount),
    ("currency", CURRENCY),
    ("source", Object),
    ("destination_account_id", Uuid),
    ("bank_statement_reference", Or(&Text)),
    ("rail", Or(&Text)),
    ("tx_hash", Or(&Text)),
    ("returns", Uuids),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const RETURN: Shape = &[
    ("id", Uuid),
    ("type", Word(&["return"])),
    ("status", Word(&["pending", "paid", "failed", "returned"])),
    ("deposit_id", Uuid),
    ("amount", Amount),
    ("currency", CURRENCY),
    ("failure", Or(&Of(FAILURE))),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const EVENT: Shape = &[
    ("id", Uuid),
    ("type", Word(&["event"])),
    ("event_type", Text),
    ("api_version", Word(&["2026-05-01"])),
    ("created_at", Time),
    ("data", Object),
];
pub(crate) const ENVELOPE: Shape = &[
    ("id", Uuid),
    ("type", Text),
    ("api_version", Word(&["2026-05-01"])),
    ("payload", Object),
    ("date", Time),
];
pub(crate) const SUBSCRIPTION: Shape = &[
    ("id", Uuid),
    ("type", Word(&["webhook_subscription"])),
    ("url", Text),
    ("events", Texts),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const DELIVERY: Shape = &[
    ("id", Uuid),
    ("type", Word(&["webhook_delivery"])),
    ("event_id", Uuid),
    ("subscription_id", Uuid),
    (
        "status",
        Word(&["pending", "processing", "delivered", "failed", "ignored"]),
    ),
    (
        "attempts",
        ListOf(&[("attempted_at", Time), ("status", Text), ("status_code", Number)]),
    ),
    ("created_at", Time),
    ("updated_at", Time),
];
pub(crate) const ERROR: Shape = &[
    ("category", Text),
    ("code", Text),
    ("message", Text),
    ("param", Or(&Text)),
    ("doc_url", Text),
    ("correlation_id", Uuid),
];

/// Exactly these fields, each of its form.
pub(crate) fn assert_shape(value: &Json, shape: Shape) {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    let mut names: Vec<&str> = shape.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(object.keys().map(String::as_str).collect::<Vec<_>>(), names, "{value}");
    for (name, form) in shape {
        assert!(fits(&value[*name], *form), "{name} is not {form:?}: {value}");
    }
}

/// A page of these.
pub(crate) fn assert_page(value: &Json, shape: Shape) {
    let envelope: Shape = &[("data", ListOf(&[])), ("has_more", Bool), ("next_cursor", Or(&Text))];
    assert_shape(value, envelope);
    let data = value["data"].as_array().unwrap();
    assert!(!data.is_empty(), "an empty page proves nothing");
    data.iter().for_each(|item| assert_shape(item, shape));
}

fn fits(value: &Json, form: Form) -> bool {
    let text = value.as_str();
    match form {
        Text => text.is_some(),
        Uuid => text.is_some_and(|text| text.len() == 36 && uuid::Uuid::parse_str(text).is_ok()),
        Time => text.is_some_and(|text| text.ends_with('Z') && text.parse::<bursar::base::clock::Instant>().is_ok()),
        Amount => text.is_some_and(|text| bursar::base::money::parse_plain(text).is_ok()),
        Bool => value.is_boolean(),
        Word(words) => text.is_some_and(|text| words.contains(&text)),
        Object => value.is_object(),
        Number => value.is_u64(),
        Texts => value.as_array().is_some_and(|list| list.iter().all(Json::is_string)),
        Uuids => value
            .as_array()
            .is_some_and(|list| list.iter().all(|item| fits(item, Uuid))),
        Of(shape) => {
            assert_shape(value, shape);
            true
        }
        // The shape of a list's items is checked where one is given.
        ListOf(shape) => value.as_array().is_some_and(|list| {
            list.iter()
                .filter(|_| !shape.is_empty())
                .for_each(|item| assert_shape(item, shape));
            true
        }),
        Or(form) => value.is_null() || fits(value, *form),
    }
}
