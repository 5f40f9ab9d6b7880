//! Settings of the Payments simulator. Whatever its reference leaves open is a setting, with the default that
//! the reference proposes or else the worse of the possibilities, and a comment on what else it might be.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::simulator::config::{
    Idempotency, KeyScope, OtherRequest, SubscriptionSeed, UnknownParameters, Webhooks, WindowFrom,
};
use crate::simulator::resources::FinancialAddress;

/// The key that the simulator lets in. Everybody knows it.
pub const DEMO_API_KEY: &str = "key_payments_demo";
/// What the simulator signs with. Everybody knows it.
pub const DEMO_WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A card that is always taken.
pub const CARD: &str = "pm_00000000000000000000000000000001";
/// A card that is always declined.
pub const DECLINED_CARD: &str = "pm_00000000000000000000000000000002";
/// A card with nothing on it.
pub const EMPTY_CARD: &str = "pm_00000000000000000000000000000003";
/// A bank account that pays some time later.
pub const BANK: &str = "pm_00000000000000000000000000000004";
/// A bank account that fails some time later.
pub const EMPTY_BANK: &str = "pm_00000000000000000000000000000005";

/// Everything the Payments simulator is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentsConfig {
    /// Private keys that are let in.
    pub api_keys: Vec<String>,
    /// Signs deliveries to subscriptions that have no secret of their own.
    pub webhook_secret: String,
    /// Merchants that exist at the start.
    pub accounts: Vec<MerchantSeed>,
    /// Who can receive a part of a payment, beside the partner.
    pub payees: Vec<PayeeSeed>,
    /// What can be paid with: over this API they cannot be made.
    pub payment_methods: Vec<MethodSeed>,
    /// Webhook subscriptions that exist at the start: over this API they cannot be made.
    pub subscriptions: Vec<SubscriptionSeed>,
    /// What an idempotency key does.
    pub idempotency: Idempotency,
    /// The fewest characters of a key; a shorter one is a bad request.
    pub key_length_min: usize,
    /// How events are delivered.
    pub webhooks: Webhooks,
    /// What an event looks like.
    pub event_form: EventForm,
    /// Whether each event is sent in the older form as well, under its name without `v2.`.
    pub older_events: bool,
    /// Whether reads that are documented without `x-account-id` are refused without it all the same.
    pub strict_account: bool,
    /// Routes that are not there after all, `GET /balances`: the documents disagree on some.
    pub missing_routes: Vec<String>,
    /// What a key that is not known gives.
    pub bad_key_status: BadKeyStatus,
    /// What the id of nothing gives.
    pub unknown_id_status: UnknownIdStatus,
    /// What `meta` of a list holds.
    pub meta: Meta,
    /// Which end of a list comes first.
    pub list_order: ListOrder,
    /// Rows of a page when a request names no limit.
    pub list_limit_default: u64,
    /// The most rows a request may ask for.
    pub list_limit_max: u64,
    /// How long a new resource is missing from lists. Reading it by id works at once.
    pub visibility_lag_ms: u64,
    /// How long a new resource is missing from searches, on top of that.
    pub search_lag_ms: u64,
    /// How a declined payment is answered.
    pub decline: Decline,
    /// Where a declined payment leaves its intent.
    pub after_decline: AfterDecline,
    /// What a second intent of the same `reference_id` does.
    pub duplicate_reference: DuplicateReference,
    /// What cancelling the cancelled, expiring the expired and completing the completed does.
    pub repeated_change: RepeatedChange,
    /// What becomes of what is authorised and not captured.
    pub capture_rest: CaptureRest,
    /// When `amount_refunded` counts a refund.
    pub refund_counted: RefundCounted,
    /// Whether a payment of a checkout session completes the session.
    pub payment_completes_session: bool,
    /// Which part of the balance a payout under way is in.
    pub payout_under_way: PayoutUnderWay,
    /// The provider's part of each payment that is paid out, in hundredths of a percent, rounded up.
    pub fee_basis_points: u32,
    /// What a payout costs, in cents.
    pub batch_fee: u32,
    /// What a payout that did not arrive costs when it is tried again, in cents.
    pub reject_fee: u32,
    /// How long resources take from step to step.
    pub lifecycle: Steps,
    /// What an unknown query parameter or field does.
    pub unknown_parameters: UnknownParameters,
}

impl Default for PaymentsConfig {
    fn default() -> Self {
        Self {
            api_keys: vec![DEMO_API_KEY.to_owned()],
            webhook_secret: DEMO_WEBHOOK_SECRET.to_owned(),
            accounts: Vec::new(),
            payees: Vec::new(),
            payment_methods: MethodSeed::usual(),
            subscriptions: Vec::new(),
            idempotency: Idempotency {
                window_ms: 3_600_000,
                window_from: WindowFrom::Answer,
                other_request: OtherRequest::Replay,
                key_scope: KeyScope::MerchantAndPath,
                ..Idempotency::default()
            },
            key_length_min: 10,
            webhooks: Webhooks {
                retry_delays_ms: RETRY_DELAYS_SECS.iter().map(|secs| secs * 1_000).collect(),
                timeout_ms: 15_000,
                disable_after_ms: Some(5 * DAY_MS),
                ..Webhooks::default()
            },
            event_form: EventForm::Type,
            older_events: false,
            strict_account: true,
            missing_routes: Vec::new(),
            bad_key_status: BadKeyStatus::Unauthorized,
            unknown_id_status: UnknownIdStatus::NotFound,
            meta: Meta::Empty,
            list_order: ListOrder::NewestFirst,
            list_limit_default: 10,
            list_limit_max: 50,
            visibility_lag_ms: 0,
            search_lag_ms: 0,
            decline: Decline::Payment,
            after_decline: AfterDecline::Failed,
            duplicate_reference: DuplicateReference::Accept,
            repeated_change: RepeatedChange::Refuse,
            capture_rest: CaptureRest::Void,
            refund_counted: RefundCounted::AtCreation,
            payment_completes_session: false,
            payout_under_way: PayoutUnderWay::Pending,
            fee_basis_points: 0,
            batch_fee: 0,
            reject_fee: 0,
            lifecycle: Steps::default(),
            unknown_parameters: UnknownParameters::Refuse,
        }
    }
}

impl PaymentsConfig {
    /// The demo: a shop in the United States, paid out to the company's dollar account at the first provider.
    pub fn demo() -> Self {
        Self {
            accounts: vec![MerchantSeed {
                opening_balance: Some("1250.00".to_owned()),
                bank_account: Some(FinancialAddress::Aba {
                    routing_number: "021000021".to_owned(),
                    account_number: "483920175".to_owned(),
                    account_holder_name: "Nordlicht Handels GmbH".to_owned(),
                }),
                // The account that the shipped workflows act for.
                id: Uuid::parse_str("b1c7a9e0-3d54-4f68-9a02-7e5d6c8f1b24").ok(),
                ..MerchantSeed::new("Payments USD")
            }],
            payees: vec![PayeeSeed {
                id: "payee_kontor_weiss".to_owned(),
                active: true,
            }],
            ..Self::default()
        }
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The waits between the eight attempts, the first of which is made at once.
const RETRY_DELAYS_SECS: [u64; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];

/// A merchant that exists at the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantSeed {
    /// Its name; its id is derived from it and the seed when none is given.
    pub label: String,
    /// The name of the business it belongs to.
    #[serde(default = "usual_business")]
    pub business: String,
    /// What is settled for it at the start, in dollars.
    #[serde(default)]
    pub opening_balance: Option<String>,
    /// Where the provider pays out to; out of this world where there is none.
    #[serde(default)]
    pub bank_account: Option<FinancialAddress>,
    /// A fixed id.
    #[serde(default)]
    pub id: Option<Uuid>,
}

fn usual_business() -> String {
    "Northern Light Trading".to_owned()
}

impl MerchantSeed {
    /// A merchant with nothing to its name.
    pub fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            business: usual_business(),
            opening_balance: None,
            bank_account: None,
            id: None,
        }
    }

    /// As the API writes the id of an account: `acct_…`.
    pub fn shown_id(id: Uuid) -> String {
        format!("acct_{}", id.simple())
    }
}

/// Who can receive a part of a payment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayeeSeed {
    /// Their name, and the id that splits name them by.
    pub id: String,
    /// Whether they may receive anything now.
    #[serde(default = "yes")]
    pub active: bool,
}

fn yes() -> bool {
    true
}

/// What can be paid with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodSeed {
    /// `pm_` and 32 hexadecimal digits.
    pub id: String,
    /// What it is.
    pub kind: MethodKind,
    /// What a payment with it does.
    pub outcome: Outcome,
    /// Whether it can be used once only.
    #[serde(default)]
    pub single_use: bool,
}

impl MethodSeed {
    /// One of each kind.
    fn usual() -> Vec<Self> {
        let methods = [
            (CARD, MethodKind::Card, Outcome::Approved),
            (DECLINED_CARD, MethodKind::Card, Outcome::Declined),
            (EMPTY_CARD, MethodKind::Card, Outcome::InsufficientFunds),
            (BANK, MethodKind::Bank, Outcome::Approved),
            (EMPTY_BANK, MethodKind::Bank, Outcome::InsufficientFunds),
        ];
        let method = |(id, kind, outcome): (&str, _, _)| Self {
            id: id.to_owned(),
            kind,
            outcome,
            single_use: false,
        };
        methods.into_iter().map(method).collect()
    }
}

/// What a payment method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodKind {
    /// It answers at once.
    Card,
    /// It answers some time later.
    Bank,
}

/// What a payment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes through.
    Approved,
    /// It does not.
    Declined,
    /// It does not, for want of money.
    InsufficientFunds,
}

/// What an event looks like; the envelope is documented nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventForm {
    /// `{type, data}`.
    #[default]
    Type,
    /// `{event_type, data}`.
    EventType,
    /// The resource itself, with `event_type` in it: the older form.
    Flat,
}

/// What a key that is not known gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadKeyStatus {
    /// 401.
    #[default]
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
}

/// What the id of nothing gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownIdStatus {
    /// 404.
    #[default]
    NotFound,
    /// 400.
    BadRequest,
}

/// What `meta` of a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meta {
    /// Nothing: whoever relies on it finds that out.
    #[default]
    Empty,
    /// `page`, `size` and `total_count`, as a sister API has them.
    Counts,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// What was made last.
    #[default]
    NewestFirst,
    /// What was made first.
    OldestFirst,
}

/// How a declined payment is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    /// A success, with a payment that is `failed`: the worse, for whoever looks at the status alone.
    #[default]
    Payment,
    /// 402.
    Status402,
}

/// Where a declined payment leaves its intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterDecline {
    /// `failed`: nothing more can be paid.
    #[default]
    Failed,
    /// `created`: another payment can be made.
    Created,
}

/// What a second intent of the same `reference_id` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateReference {
    /// It is made: the worst for whoever relies on the reference.
    #[default]
    Accept,
    /// 400.
    Refuse,
}

/// What a change to where something is already does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedChange {
    /// 400: whoever takes that for "not done" is wrong.
    #[default]
    Refuse,
    /// The resource as it is.
    Same,
}

/// What becomes of what is authorised and not captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureRest {
    /// It is voided.
    #[default]
    Void,
    /// It stays authorised; there is no second capture all the same.
    Keep,
}

/// When `amount_refunded` counts a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundCounted {
    /// At once, and no more should it fail.
    #[default]
    AtCreation,
    /// When it is through: until then nothing shows that it was taken.
    AtSuccess,
}

/// Which part of the balance a payout under way is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutUnderWay {
    /// `pending`.
    #[default]
    Pending,
    /// `available`, though nothing can be done with it.
    Available,
}

/// How long resources take from step to step. Each delay counts from the step before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Steps {
    /// A payment by bank from pending to captured (or failed).
    pub bank_payment_ms: u64,
    /// Money that moved to its settlement; by hand only where there is none.
    pub settlement_ms: Option<u64>,
    /// Refund created to succeeded (or failed).
    pub refund_ms: u64,
    /// How long an authorisation lasts; for ever where there is none.
    pub authorisation_ms: Option<u64>,
    /// How long a checkout session is open.
    pub session_ms: u64,
    /// The provider's payouts, from the start on; by hand only where there is none.
    pub payout_every_ms: Option<u64>,
    /// Payout created to pending.
    pub payout_pended_ms: u64,
    /// From there to completed.
    pub payout_completed_ms: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            bank_payment_ms: 200,
            settlement_ms: Some(500),
            refund_ms: 250,
            authorisation_ms: Some(7 * DAY_MS),
            session_ms: DAY_MS,
            payout_every_ms: Some(DAY_MS),
            payout_pended_ms: 50,
            payout_completed_ms: 200,
        }
    }
}
