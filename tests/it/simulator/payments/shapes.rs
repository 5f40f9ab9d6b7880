//! The documented shapes: which members each resource has and of what form they are.

use serde_json::Value as Json;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Text,
    /// An id that begins so.
    Id(&'static str),
    Time,
    Date,
    Whole,
    Bool,
    Object,
    List,
    Word(&'static [&'static str]),
    /// Or null.
    Or(&'static Self),
    Of(Shape),
}

/// The members of an object: all of them, and no others.
pub(crate) type Shape = &'static [(&'static str, Form)];

use Form::{Bool, Date, Id, List, Object, Of, Or, Text, Time, Whole, Word};

const SETTLED: Form = Word(&["settled", "unsettled"]);

pub(crate) const SESSION: Shape = &[
    ("id", Id("cs")),
    ("entity", Word(&["checkout_session"])),
    ("url", Text),
    ("cancel_url", Text),
    ("success_url", Text),
    ("customer_email", Text),
    ("reference_id", Or(&Text)),
    ("user_fields", Or(&Object)),
    ("payment_method_types", List),
    ("payment_intent_data", Object),
    ("payment_intent_id", Id("pi")),
    ("subtotal", Whole),
    ("discount_amount", Whole),
    ("status", Word(&["open", "completed", "expired"])),
    ("account_id", Id("acct")),
    ("partner_id", Id("part")),
    ("business_id", Id("bus")),
    ("created_at", Time),
    ("updated_at", Time),
    ("expires_at", Time),
];

pub(crate) const DETAILS: Shape = &[("checkout_session", Of(SESSION)), ("branding", Object)];

pub(crate) const PAYMENT: Shape = &[
    ("id", Id("pmt")),
    ("entity", Word(&["payment"])),
    (
        "status",
        Word(&["pending", "uncaptured", "captured", "cancelled", "voided", "failed"]),
    ),
    ("billing_details", Or(&Object)),
    ("amount", Whole),
    ("amount_authorized", Whole),
    ("amount_captured", Whole),
    ("amount_refunded", Whole),
    ("amount_voided", Whole),
    ("amount_disputed", Whole),
    ("amount_reversed", Whole),
    ("cvv", Or(&Text)),
    ("avs", Or(&Text)),
    ("address_line1_check", Or(&Text)),
    ("address_postal_code_check", Or(&Text)),
    ("cvv_check", Or(&Text)),
    ("signature", Or(&Object)),
    ("emv_tag_data", Or(&Text)),
    ("entry_mode", Or(&Text)),
    ("reversed", Bool),
    ("reversal_id", Or(&Id("rev"))),
    ("disputed", Bool),
    ("dispute_id", Or(&Id("dp"))),
    ("order_details", Or(&Object)),
    ("payment_intent_id", Id("pi")),
    ("payment_method_id", Or(&Id("pm"))),
    ("payment_method", Object),
    ("auth_code", Or(&Text)),
    ("auth_response_text", Or(&Text)),
    ("external", Bool),
    ("card_present", Bool),
    ("created_at", Time),
    ("updated_at", Time),
    ("account_id", Id("acct")),
    ("reference_id", Or(&Text)),
    ("user_fields", Or(&Object)),
    ("description", Or(&Text)),
    ("settlement_status", SETTLED),
    ("settled_at", Or(&Time)),
];

pub(crate) const INTENT: Shape = &[
    ("id", Id("pi")),
    ("client_secret", Text),
    ("entity", Word(&["payment_intent"])),
    (
        "status",
        Word(&["created", "pending", "uncaptured", "captured", "cancelled", "failed"]),
    ),
    ("amount", Whole),
    ("merchant_amount", Or(&Whole)),
    ("amount_authorized", Whole),
    ("amount_captured", Whole),
    ("amount_refunded", Whole),
    ("amount_voided", Whole),
    ("amount_disputed", Whole),
    ("amount_reversed", Whole),
    ("payment_splits", List),
    ("order_details", Or(&Object)),
    ("capture", Bool),
    ("currency", Word(&["USD"])),
    ("latest_payment", Or(&Of(PAYMENT))),
    ("disputed", Bool),
    ("dispute_id", Or(&Id("dp"))),
    ("reversed", Bool),
    ("reversal_id", Or(&Id("rev"))),
    ("external", Bool),
    ("partner_id", Id("part")),
    ("business_id", Id("bus")),
    ("account_id", Id("acct")),
    ("payment_method_types", List),
    ("reference_id", Or(&Text)),
    ("user_fields", Or(&Object)),
    (
        "cancellation_reason",
        Or(&Word(&[
            "duplicate",
            "fraudulent",
            "requested_by_customer",
            "abandoned",
        ])),
    ),
    ("description", Or(&Text)),
    ("created_at", Time),
    ("updated_at", Time),
    ("cancelled_at", Or(&Time)),
    ("captured_at", Or(&Time)),
    ("settled_at", Or(&Time)),
    ("settlement_status", SETTLED),
];

pub(crate) const REFUND: Shape = &[
    ("id", Id("re")),
    ("entity", Word(&["refund"])),
    ("status", Word(&["pending", "succeeded", "failed"])),
    ("external", Bool),
    ("amount", Whole),
    ("account_id", Id("acct")),
    ("payment_id", Id("pmt")),
    ("created_at", Time),
    ("updated_at", Time),
    ("settlement_status", SETTLED),
    ("settled_at", Or(&Time)),
];

pub(crate) const CARD_METHOD: Shape = &[
    ("id", Id("pm")),
    ("entity", Word(&["payment_method"])),
    ("created_at", Time),
    ("updated_at", Time),
    ("payment_method_type", Word(&["card", "bank"])),
    ("source_type", Text),
    ("billing_details", Object),
    ("single_use_token", Bool),
    ("signature", Or(&Text)),
    ("card", Object),
];

pub(crate) const DISPUTE: Shape = &[
    ("id", Id("dp")),
    ("entity", Word(&["dispute"])),
    ("created_at", Time),
    ("updated_at", Time),
    ("account_id", Id("acct")),
    ("business_id", Id("bus")),
    (
        "status",
        Word(&[
            "new",
            "under_review",
            "contested",
            "accepted",
            "pre_arbitration",
            "won",
            "lost",
        ]),
    ),
    ("payment_id", Id("pmt")),
    ("payment_intent_id", Id("pi")),
    ("amount", Whole),
    ("notes", List),
    ("attachments", List),
    ("dispute_date", Date),
    ("response_due_date", Date),
    ("closed_date", Or(&Date)),
    ("reason_disputed_code", Whole),
    ("reason_disputed", Text),
    ("dispute_response", Or(&Text)),
    ("reference_meta", Object),
    ("settlement_status", SETTLED),
    ("settled_at", Or(&Time)),
];

pub(crate) const BALANCE: Shape = &[("currency", Word(&["USD"])), ("pending", Whole), ("available", Whole)];

pub(crate) const TRANSACTION: Shape = &[
    ("id", Id("txn")),
    ("entity", Word(&["transaction"])),
    ("created_at", Time),
    ("updated_at", Time),
    ("ledger_account_id", Id("la")),
    ("payout_id", Or(&Id("po"))),
    ("bank_transfer_id", Or(&Text)),
    ("source_type", Text),
    ("source_id", Text),
    ("source_account_id", Id("acct")),
    ("amount", Whole),
    ("settlement_id", Or(&Id("stl"))),
    ("settlement_status", SETTLED),
    ("settled_at", Or(&Time)),
    ("description", Text),
];

pub(crate) const PAYOUT: Shape = &[
    ("id", Id("po")),
    ("entity", Word(&["payout"])),
    (
        "status",
        Word(&[
            "created",
            "pending",
            "held",
            "completed",
            "failed",
            "returned",
            "cancelled",
        ]),
    ),
    ("payout_number", Whole),
    ("transaction_count", Whole),
    ("transaction_summary", List),
    ("amount", Whole),
    ("net_amount", Whole),
    ("fee_amount", Whole),
    ("batch_fee", Whole),
    ("reject_fee", Whole),
    ("latest_payment_data", Or(&Object)),
    ("payment_data", List),
    ("payment_attempt_count", Whole),
    ("payment_reject_count", Whole),
    ("owner_type", Word(&["account"])),
    ("owner_id", Id("acct")),
    ("business_id", Id("bus")),
    ("settlement_status", SETTLED),
    ("settled_at", Or(&Time)),
    ("created_at", Time),
    ("updated_at", Time),
    ("completed_at", Or(&Time)),
    ("returned_at", Or(&Time)),
];

pub(crate) const PLAN: Shape = &[
    ("id", Id("partppl")),
    ("plan_type", Text),
    ("effective_date", Text),
    ("accepted_cards", List),
    ("auth_fee", Object),
    ("fees", Object),
    ("fees_paid_by_partner", Object),
    ("partner_pays_chargeback_amount", Bool),
    ("comment", Or(&Text)),
    ("interchange_cost", Text),
    ("bank_processing_plan_settings", Object),
];

pub(crate) const EMPTY: Shape = &[];

pub(crate) const ERROR: Shape = &[
    ("type", Text),
    ("code", Text),
    ("message", Text),
    ("argument_errors", Object),
];

fn fits(value: &Json, form: Form) -> bool {
    let text = value.as_str().unwrap_or("");
    match form {
        Text => value.is_string(),
        Id(prefix) => {
            let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
            rest.is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        }
        Time => text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        Date => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        Whole => value.is_i64(),
        Bool => value.is_boolean(),
        Object => value.is_object(),
        List => value.is_array(),
        Word(words) => words.contains(&text),
        Or(form) => value.is_null() || fits(value, *form),
        Of(shape) => misfit(value, shape).is_none(),
    }
}

fn misfit(value: &Json, shape: Shape) -> Option<String> {
    let Some(map) = value.as_object() else {
        return Some("not an object".to_owned());
    };
    let missing = shape.iter().find_map(|(name, form)| match map.get(*name) {
        None => Some(format!("{name} is missing")),
        Some(value) => (!fits(value, *form)).then(|| format!("{name} is {value}, not {form:?}")),
    });
    let stray = || map.keys().find(|name| !shape.iter().any(|(known, _)| known == name));
    missing.or_else(|| stray().map(|name| format!("{name} is not documented")))
}

/// The value has the shape: every member it must have, no others, each of its form.
pub(crate) fn assert_shape(value: &Json, shape: Shape) {
    if let Some(misfit) = misfit(value, shape) {
        panic!("{misfit}\n{value:#}");
    }
}
