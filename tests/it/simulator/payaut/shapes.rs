//! The documented shapes, and the proposed ones where nothing is documented: which members each resource has, and of
//! what form they are.

use serde_json::Value as Json;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Text,
    Code,
    Uuid,
    Time,
    Date,
    Number,
    Bool,
    Object,
    List,
    Word(&'static [&'static str]),
    /// Is there, and may be null.
    Null(&'static Self),
    /// May be missing.
    May(&'static Self),
    Each(Shape),
}

/// The members of an object: no others.
pub(crate) type Shape = &'static [(&'static str, Form)];

use Form::{Bool, Code, Date, Each, List, May, Null, Number, Object, Text, Time, Uuid, Word};

const KYC: &[&str] = &["MISSING_DATA", "IN_PROGRESS", "ACTIVE", "FAILED", "REJECTED"];

pub(crate) const HOLDER: Shape = &[
    ("code", Code),
    ("createdAt", Date),
    ("description", Null(&Text)),
    ("displayName", Null(&Text)),
    ("extRef", Null(&Text)),
    ("accounts", May(&Each(ACCOUNT))),
    ("externalAccounts", May(&List)),
    ("ubos", May(&List)),
    ("legalEntity", Object),
    ("status", Object),
    ("tier", Word(&["LIGHT_KYC"])),
];

pub(crate) const UBO: Shape = &[
    ("code", Code),
    ("legalName", Null(&Text)),
    ("firstName", Null(&Text)),
    ("lastName", Null(&Text)),
    ("dateOfBirth", Null(&Text)),
    ("nationality", Null(&Text)),
    ("type", Null(&Word(&["CEO", "CFO", "COO", "SHARE_HOLDER"]))),
    ("extRef", Null(&Text)),
    ("createdAt", Time),
    ("address", Null(&Object)),
    ("documents", May(&List)),
];

pub(crate) const ACCOUNT: Shape = &[
    ("accountType", Word(&["DEFAULT"])),
    ("code", Code),
    ("displayName", Text),
    ("extRef", Null(&Text)),
];

pub(crate) const EXTERNAL: Shape = &[
    ("code", Code),
    ("extRef", Null(&Text)),
    ("displayName", Null(&Text)),
    ("description", Null(&Text)),
    ("currency", Word(&["EUR"])),
    ("kycStatus", Word(KYC)),
    ("kycMessage", Null(&Text)),
    ("selected", Bool),
    ("acceptOtherCurrencies", Bool),
    ("allowedOtherCurrencyCodes", List),
    ("statement", May(&Null(&Object))),
    ("accountNumber", Null(&Text)),
    ("accountType", Null(&Text)),
];

pub(crate) const SPLIT: Shape = &[
    ("code", Code),
    ("currency", Text),
    ("description", Null(&Text)),
    ("extProcessedAt", Null(&Text)),
    ("extRef", Text),
    ("items", Each(ITEM)),
    ("paymentMethod", Null(&Text)),
    ("paymentProcessor", Text),
    ("pspExtRef", Text),
    ("totalAmount", Number),
];

pub(crate) const REFUND: Shape = &[
    ("code", Code),
    ("description", Null(&Text)),
    ("extProcessedAt", Null(&Text)),
    ("extRef", Text),
    ("items", Each(ITEM)),
    ("pspMutationExtRef", Text),
    ("totalAmount", Number),
];

const ITEM: Shape = &[
    ("code", Code),
    ("type", Word(&["GROUP", "ITEM"])),
    ("extRef", Text),
    ("amount", Number),
    ("accountCode", Null(&Text)),
    ("label", Null(&Text)),
    ("description", Null(&Text)),
    ("originalExtRef", Null(&Text)),
    ("items", List),
];

pub(crate) const TRANSACTION: Shape = &[
    ("code", Code),
    ("type", Word(&["PAYMENT", "REFUND", "CHARGEBACK"])),
    (
        "status",
        Word(&["pending_split", "pending_settlement", "reconciled", "cancelled"]),
    ),
    ("pspExtRef", Text),
    ("pspMutationExtRef", Null(&Text)),
    ("extRef", Null(&Text)),
    ("amount", Number),
    ("currency", Text),
    ("createdAt", Time),
    ("updatedAt", Time),
];

pub(crate) const BALANCE: Shape = &[("amounts", Each(AMOUNT)), ("code", Code)];

const AMOUNT: Shape = &[("currency", Text), ("amount", Number)];

pub(crate) const DIVISION: Shape = &[
    ("merchantCode", Code),
    ("divisionCode", Code),
    ("accountCode", Code),
    ("externalAccountCode", Null(&Code)),
    ("payoutBalance", Each(AMOUNT)),
    ("confirmedBalance", Each(AMOUNT)),
    ("pendingBalance", Each(AMOUNT)),
    ("unallocatedBalance", Each(AMOUNT)),
];

pub(crate) const PAYOUT: Shape = &[
    ("code", Code),
    ("accountCode", Code),
    ("externalAccountCode", Code),
    ("amount", Number),
    ("sourceCurrency", Text),
    ("targetCurrency", Text),
    ("description", Null(&Text)),
    ("processAt", Time),
    ("status", Word(&["PENDING", "IN_PROGRESS", "PROCESSED", "FAILED"])),
    ("failureReason", Null(&Text)),
    ("createdAt", Time),
    ("updatedAt", Time),
];

pub(crate) const TRANSFER: Shape = &[
    ("code", Code),
    ("fromAccountCode", Code),
    ("toAccountCode", Code),
    ("amount", Number),
    ("currency", Text),
    ("type", Text),
    ("description", Null(&Text)),
    ("idempotencyKey", Text),
    ("createdAt", Time),
];

pub(crate) const SCHEDULE: Shape = &[
    ("isActivated", Bool),
    ("interval", Word(&["DAILY", "WEEKLY", "MONTHLY"])),
    ("minimumAmount", Number),
    ("accountCode", May(&Code)),
];

pub(crate) const REPORT: Shape = &[
    ("id", Uuid),
    ("report", Text),
    ("status", Word(&["SCHEDULED", "READY"])),
    ("url", Null(&Text)),
    ("createdAt", Time),
    ("account", Object),
];

pub(crate) const WEBHOOK: Shape = &[
    ("id", Uuid),
    ("url", Text),
    ("type", Word(&["WEBHOOK_KYC_UPDATE", "WEBHOOK_PAYOUT_UPDATE"])),
    ("isActivated", Bool),
];

fn fits(value: &Json, form: Form) -> bool {
    let text = value.as_str().unwrap_or("");
    let is_uuid = text.len() == 36 && uuid::Uuid::parse_str(text).is_ok();
    match form {
        Text => value.is_string(),
        Code => is_uuid && text == text.to_uppercase(),
        Uuid => is_uuid && text == text.to_lowercase(),
        Time => !text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        Date => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        Number => value.is_i64(),
        Bool => value.is_boolean(),
        Object => value.is_object(),
        List => value.is_array(),
        Word(words) => words.contains(&text),
        Null(form) => value.is_null() || fits(value, *form),
        May(form) => fits(value, *form),
        Each(shape) => value
            .as_array()
            .is_some_and(|items| items.iter().all(|item| misfit(item, shape).is_none())),
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
    missing.or_else(|| stray().map(|name| format!("{name} is not known")))
}

/// The value has the shape: every member it must have, no others, each of its form.
pub(crate) fn assert_shape(value: &Json, shape: Shape) {
    if let Some(misfit) = misfit(value, shape) {
        panic!("{misfit}\n{value:#}");
    }
}
