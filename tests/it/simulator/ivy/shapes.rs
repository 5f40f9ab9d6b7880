//! The documented shapes: which members each resource has, which may be missing, and of what form they are.

use serde_json::Value as Json;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Text,
    /// An id without hyphens.
    Plain,
    Uuid,
    Time,
    Number,
    /// A decimal as text.
    Decimal,
    Bool,
    Object,
    List,
    Word(&'static [&'static str]),
    /// May be missing, and is never null.
    May(&'static Self),
    Of(Shape),
}

/// The members of an object: no others.
pub(crate) type Shape = &'static [(&'static str, Form)];

use Form::{Bool, Decimal, List, May, Number, Object, Of, Plain, Text, Time, Uuid, Word};

const FAILURE: Shape = &[("code", Text), ("message", Text), ("retry", Bool)];

pub(crate) const PAYOUT: Shape = &[
    ("id", Plain),
    ("type", Word(&["beneficiary", "customer"])),
    ("destination", Object),
    ("status", Word(&["pending", "in_transit", "paid", "failed", "canceled"])),
    ("amount", Number),
    ("currency", Word(&["EUR", "GBP", "USDC", "USD"])),
    ("createdAt", Time),
    ("updatedAt", Time),
    ("metadata", May(&Object)),
    ("paymentReference", May(&Text)),
    ("transactionId", May(&Uuid)),
    ("failure", May(&Of(FAILURE))),
];

pub(crate) const RETURN: Shape = &[
    ("id", Uuid),
    ("depositId", Uuid),
    ("amount", Number),
    ("currency", Text),
    ("status", Word(&["initiated", "succeeded", "failed", "returned"])),
    ("createdAt", Time),
    ("failedAt", May(&Time)),
    ("succeededAt", May(&Time)),
    ("transactionId", May(&Uuid)),
];

pub(crate) const DEPOSIT: Shape = &[
    ("id", Uuid),
    ("amount", Number),
    ("currency", Text),
    ("payer", Object),
    ("payee", Object),
    ("receivedAt", Time),
    ("status", Word(&["received"])),
    ("transactionId", Uuid),
    ("returns", List),
    ("bankStatementReference", May(&Text)),
    ("rail", May(&Text)),
    ("txHash", May(&Text)),
];

pub(crate) const PAGE: Shape = &[("items", List), ("count", Number), ("hasNext", Bool), ("skip", Number)];

const PRICE: Shape = &[
    ("total", Number),
    ("currency", Text),
    ("subTotal", May(&Number)),
    ("shipping", May(&Number)),
    ("totalNet", May(&Number)),
    ("vat", May(&Number)),
];

pub(crate) const ORDER: Shape = &[
    ("id", Plain),
    ("appId", Text),
    ("merchantAppId", Text),
    ("merchantId", Text),
    ("applicationFeeAmount", Number),
    ("instantPaymentScheme", Bool),
    ("price", Of(PRICE)),
    ("referenceId", Text),
    ("shopName", Text),
    (
        "status",
        Word(&[
            "processing",
            "waiting_for_payment",
            "finalizing",
            "paid",
            "failed",
            "canceled",
            "in_refund",
            "refunded",
            "partially_refunded",
        ]),
    ),
    ("createdAt", Time),
    ("updatedAt", Time),
    (
        "destination",
        May(&Of(&[("bankAccount", Object), ("bankStatementReference", Text)])),
    ),
    (
        "paymentMethodType",
        May(&Word(&["customer_balance", "manual_bank_transfer"])),
    ),
    ("paymentMode", May(&Word(&["direct", "settlement"]))),
    ("payerFinancialAddress", May(&Object)),
    ("merchantFinancialAddress", May(&Object)),
    ("refunds", May(&List)),
    ("refundAmount", May(&Number)),
    ("statusHistoryList", May(&List)),
    ("bankStatementReference", May(&Text)),
    ("customerId", May(&Text)),
    ("metadata", May(&Object)),
    ("subaccountId", May(&Text)),
    ("transactionId", May(&Uuid)),
    ("shopper", May(&Object)),
];

pub(crate) const REFUND: Shape = &[
    ("id", Uuid),
    ("amount", Number),
    ("currency", Text),
    ("orderId", Plain),
    ("status", Word(&["initiated", "pending", "succeeded", "failed"])),
    ("transactionId", May(&Uuid)),
];

pub(crate) const SESSION: Shape = &[
    ("id", Plain),
    ("appId", Text),
    ("created", Number),
    ("displayId", Text),
    ("errorCallbackUrl", Text),
    ("expiresAt", Number),
    ("lineItems", List),
    (
        "merchant",
        Of(&[
            ("id", Text),
            ("appId", Text),
            ("legalName", Text),
            ("address", May(&Object)),
        ]),
    ),
    ("merchantAppId", Text),
    ("price", Of(PRICE)),
    ("redirectUrl", Text),
    ("referenceId", Text),
    ("status", Word(&["open", "closed", "expired"])),
    ("successCallbackUrl", Text),
    ("createdAt", May(&Time)),
    ("updatedAt", May(&Time)),
    ("metadata", May(&Object)),
    ("billingAddress", May(&Object)),
    ("completeCallbackUrl", May(&Text)),
    ("customer", May(&Object)),
    ("disableBankSelection", May(&Bool)),
    ("express", May(&Bool)),
    ("locale", May(&Text)),
    ("market", May(&Text)),
    ("paymentMode", May(&Text)),
    ("paymentSchemeSelection", May(&Text)),
    ("prefill", May(&Object)),
    ("quoteCallbackUrl", May(&Text)),
    ("subaccountId", May(&Text)),
];

pub(crate) const CUSTOMER: Shape = &[
    ("id", Plain),
    ("bankAccounts", List),
    ("address", May(&Object)),
    ("dateOfBirth", May(&Text)),
    ("deleted", May(&Bool)),
    ("deletedAt", May(&Time)),
    ("email", May(&Text)),
    ("fullName", May(&Text)),
    ("metadata", May(&Object)),
    ("phone", May(&Text)),
];

pub(crate) const SUCCESS: Shape = &[("success", Bool)];

pub(crate) const BANK: Shape = &[
    ("id", Text),
    ("name", Text),
    ("currencies", List),
    ("default", Bool),
    ("test", Bool),
    ("market", List),
    ("supportedPaymentSchemes", List),
    ("capabilities", May(&List)),
    ("group", May(&Text)),
];

pub(crate) const RATE: Shape = &[
    ("rate", Decimal),
    ("sourceAmount", May(&Decimal)),
    ("targetAmount", May(&Decimal)),
];

pub(crate) const FX: Shape = &[
    ("id", Uuid),
    ("rate", Decimal),
    ("sourceCurrency", Word(&["EUR", "GBP", "USDC"])),
    ("targetCurrency", Word(&["EUR", "GBP", "USDC"])),
    ("status", Word(&["initiated", "succeeded", "failed"])),
    ("sourceAmount", May(&Decimal)),
    ("targetAmount", May(&Decimal)),
    ("metadata", May(&Object)),
];

pub(crate) const LINES: Shape = &[
    ("data", List),
    ("paging", Of(&[("hasNext", Bool), ("nextCursor", May(&Text))])),
];

pub(crate) const CAPABILITIES: Shape = &[("capabilities", May(&List))];

pub(crate) const SUBACCOUNT: Shape = &[
    ("id", Uuid),
    ("legalName", Text),
    ("mcc", Text),
    ("ownerId", Text),
    ("status", Word(&["active", "inactive"])),
    ("createdAt", Time),
    ("updatedAt", Time),
    ("websiteUrl", May(&Text)),
];

pub(crate) const BALANCES: Shape = &[("balances", List)];

pub(crate) const SUBSCRIPTION: Shape = &[
    ("id", Plain),
    ("url", Text),
    ("events", List),
    ("merchant", Text),
    ("merchantApp", Text),
    ("createdAt", Time),
    ("updatedAt", Time),
];

pub(crate) const PING: Shape = &[
    ("id", Plain),
    ("date", Time),
    ("success", Bool),
    ("statusCode", Number),
    ("response", Text),
];

pub(crate) const VERDICT: Shape = &[
    ("status", Word(&["match", "partial_match", "no_match", "not_available"])),
    ("suggestedAccountHolderName", May(&Text)),
];

pub(crate) const SETTLEMENT: Shape = &[
    ("id", Plain),
    ("amount", Number),
    ("currency", Text),
    ("createdAt", Time),
    ("description", Text),
    ("merchant", Text),
    ("referenceId", Text),
    ("statementDescriptor", Text),
    ("status", Word(&["paid", "pending", "in_transit", "failed", "canceled"])),
    ("type", Word(&["merchant", "customer"])),
];

fn fits(value: &Json, form: Form) -> bool {
    let text = value.as_str().unwrap_or("");
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match form {
        Text => value.is_string(),
        Plain => text.len() == 32 && hex(text),
        Uuid => text.len() == 36 && uuid::Uuid::parse_str(text).is_ok(),
        Time => text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        Number => value.is_number(),
        Decimal => text.parse::<rust_decimal::Decimal>().is_ok(),
        Bool => value.is_boolean(),
        Object => value.is_object(),
        List => value.is_array(),
        Word(words) => words.contains(&text),
        May(form) => fits(value, *form),
        Of(shape) => misfit(value, shape).is_none(),
    }
}

fn misfit(value: &Json, shape: Shape) -> Option<String> {
    let Some(map) = value.as_object() else {
        return Some("not an object".to_owned());
    };
    let missing = shape.iter().find_map(|(name, form)| match map.get(*name) {
        None if matches!(form, May(_)) => None,
        None => Some(format!("{name} is missing")),
        Some(value) => (!fits(value, *form)).then(|| format!("{name} is {value}, not {form:?}")),
    });
    let stray = || {
        let mut names = map.keys();
        names.find(|name| !shape.iter().any(|(known, _)| known == name))
    };
    missing.or_else(|| stray().map(|name| format!("{name} is not documented")))
}

/// The value has the shape: every member it must have, no others, each of its form.
pub(crate) fn assert_shape(value: &Json, shape: Shape) {
    if let Some(misfit) = misfit(value, shape) {
        panic!("{misfit}\n{value:#}");
    }
}
