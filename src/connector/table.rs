//! The table of a provider: its types, as they stand in the TOML file, and the questions asked of it.
//!
//! Plain data. Reading a text is `parse`, what the types cannot say is `check`. Request fields are named by
//! dotted paths (`metadata.bursar`), places in an answer by JSON pointers (`/metadata/bursar`).

mod check;
mod map;
mod parse;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::lookup::Lookup;
use super::signature::Scheme;
use crate::model::diagnostic::Diagnostic;

pub use map::{Achieved, Existing, OwnAccount, PrimitiveMap, QuoteMap, Resource, Stage};

/// A described provider.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its name in settings: `augustus`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// One sentence for people.
    pub doc: String,
    /// Whether it comes from a file of the user's rather than with this program.
    pub local: bool,
    /// Base addresses by environment: `live`, `sandbox`.
    pub base_url: BTreeMap<String, String>,
    /// How calls are authorised.
    pub auth: Auth,
    /// Headers every request carries.
    pub headers: BTreeMap<String, String>,
    /// How a repeated call is told from a new one, if the provider can.
    pub idempotency: Option<Idempotency>,
    /// How lists are cut into pages.
    pub pagination: Option<Pagination>,
    /// What refused calls look like and mean.
    pub errors: Errors,
    /// How many requests the provider takes, if it says so.
    pub rate: Option<RateTable>,
    webhook: Option<WebhookTable>,
    backfill: Option<Backfill>,
    shapes: BTreeMap<String, Shape>,
    endpoints: BTreeMap<String, Endpoint>,
    primitives: BTreeMap<String, PrimitiveMap>,
    resources: BTreeMap<String, Resource>,
}

impl Connector {
    /// Reads a table. `file` is its name in findings.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        parse::connector(file, text)
    }

    /// An endpoint by its name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.get(name)
    }

    /// Every endpoint, by name.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// The read that tells most and takes least: the one that shows the key, else the first read without arguments.
    /// Of that one nobody says that every key may make it.
    pub fn harmless_read(&self) -> Option<&Endpoint> {
        let usable = |endpoint: &&Endpoint| {
            endpoint.effect == Effect::Read
                && !endpoint.public
                && !endpoint.path.contains('{')
                && endpoint.params.iter().all(|param| !param.required)
        };
        let own = self.endpoints().find(|endpoint| endpoint.shows_key && usable(endpoint));
        own.or_else(|| self.endpoints().find(usable))
    }

    /// How a treasury primitive is done here, if it can be.
    pub fn primitive(&self, name: &str) -> Option<&PrimitiveMap> {
        self.primitives.get(name)
    }

    /// The treasury primitives that can be done here, by name.
    pub fn primitives(&self) -> impl Iterator<Item = (&str, &PrimitiveMap)> {
        self.primitives.iter().map(|(name, map)| (name.as_str(), map))
    }

    /// A resource that lives on after the call that made it.
    pub fn resource(&self, kind: &str) -> Option<&Resource> {
        self.resources.get(kind)
    }

    /// Every such resource, by kind.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &Resource)> {
        self.resources.iter().map(|(kind, resource)| (kind.as_str(), resource))
    }

    /// The webhooks of the provider, if it sends any.
    pub fn webhook(&self) -> Option<&WebhookTable> {
        self.webhook.as_ref()
    }

    /// How missed webhooks are found, if the provider keeps its events.
    pub fn backfill(&self) -> Option<&Backfill> {
        self.backfill.as_ref()
    }

    /// The members of a nested argument.
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }
}

/// How calls are authorised.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer <credential>`.
    Bearer,
    /// The credential alone in a header of this name.
    Header {
        /// The header.
        name: String,
    },
}

/// How a repeated call is told from a new one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// The header that carries the key.
    pub header: String,
    /// The longest key.
    pub max_length: usize,
    /// Methods that take a key.
    pub methods: Vec<Method>,
    /// For how long a key protects. A connection may say otherwise.
    pub window_secs: u64,
    /// Whether the window is our own cautious guess, the provider being silent.
    #[serde(default)]
    pub window_assumed: bool,
    /// The header of an answer that was given before.
    pub replayed_header: Option<String>,
}

/// How lists are cut into pages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagination {
    /// Where the items stand in the answer.
    pub items: String,
    /// Where the cursor of the next page stands.
    pub next: String,
    /// Where it says whether there is a next page.
    pub more: Option<String>,
    /// The parameter that takes the cursor.
    pub cursor_param: String,
    /// The parameter that takes the size of a page.
    pub limit_param: String,
    /// How many items to ask for.
    pub limit: u32,
}

/// How many requests a provider takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateTable {
    /// The most in a second. A connection may say otherwise.
    pub requests_per_second: NonZeroU32,
    /// Where the provider says so, for people.
    pub doc: String,
}

/// What refused calls look like and mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Where the provider's code stands in the answer.
    pub code: Option<String>,
    /// Where its sentence stands.
    pub message: Option<String>,
    /// The header by which the provider's support finds the call.
    pub correlation_header: Option<String>,
    /// The header by which the provider says whether to try again.
    pub should_retry_header: Option<String>,
    /// What status and code together mean. What is not named here is classed by its status alone.
    #[serde(default, rename = "class")]
    pub classes: Vec<ErrorRow>,
}

/// What one status and code mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRow {
    /// The status.
    pub status: u16,
    /// The code; without one, every code of the status.
    pub code: Option<String>,
    /// What they mean.
    pub class: ErrorClass,
    /// When it happens, for people.
    pub doc: String,
}

/// What an answer that is not a success means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// It was not done and will not be: the script sees a failure.
    Failed,
    /// It was not done because our credentials or their scope were refused: a person is needed.
    Refused,
    /// It was not done; the same call later may be.
    Retry,
    /// It may have been done.
    Unknown,
    /// The provider knows the key with another request: never to be sent again.
    Contradiction,
}

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
    /// Whether the answer is a list.
    #[serde(default)]
    pub list: bool,
    /// Whether that list always comes as one page.
    #[serde(default)]
    pub one_page: bool,
    /// Its parameters.
    #[serde(default)]
    pub params: Vec<Param>,
    /// How much it moves or asks about.
    pub amount: Option<AmountField>,
    /// The request field that names where the money comes from.
    pub source: Option<String>,
    /// The request field that names who gets it.
    pub beneficiary: Option<Beneficiary>,
    /// The request field we may write our reference to.
    pub our_reference: Option<String>,
    /// Where the answer repeats what was asked, for comparison.
    #[serde(default)]
    pub echo: Echo,
    /// What is done when its outcome is not known.
    #[serde(default)]
    pub in_doubt: InDoubt,
    /// How its outcome is looked up.
    pub lookup: Option<Lookup>,
    /// The kind of resource it makes or shows.
    pub resource: Option<String>,
    /// Whether the provider keeps to the key here, where its method takes one.
    #[serde(default = "keyed")]
    pub keyed: bool,
    /// Whether it takes the idempotency key: follows from its method and `keyed`.
    #[serde(skip)]
    pub idempotent: bool,
}

fn keyed() -> bool {
    true
}

impl Endpoint {
    /// Whether its list may go on after the first page.
    pub fn is_paged(&self) -> bool {
        self.list && !self.one_page
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
        let argument = |param: &Param| {
            if param.required {
                param.name.clone()
            } else {
                format!("[{}]", param.name)
            }
        };
        match self.params.as_slice() {
            [] => format!("{}()", self.name),
            [only] if only.place == Place::Path => format!("{}({})", self.name, only.name),
            params => {
                let arguments: Vec<String> = params.iter().map(argument).collect();
                format!("{}(#{{ {} }})", self.name, arguments.join(", "))
            }
        }
    }
}

/// Where a parameter stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In the body.
    #[default]
    Body,
}

/// A parameter of an endpoint, or a member of a nested argument.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Its name in scripts.
    pub name: String,
    /// Its name on the wire, where that is not a word a script could write.
    pub wire: Option<String>,
    /// Where it stands.
    #[serde(default, rename = "in")]
    pub place: Place,
    /// What it takes.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// Whether it has to be given.
    #[serde(default)]
    pub required: bool,
    /// The texts it may be, if only some.
    #[serde(default)]
    pub values: Vec<String>,
    /// The fewest characters.
    pub min_length: Option<usize>,
    /// The most characters.
    pub max_length: Option<usize>,
    /// The members, if it is an object.
    pub shape: Option<String>,
    /// One sentence for people.
    pub doc: String,
}

impl Param {
    /// Its name in the request.
    pub fn wire_name(&self) -> &str {
        self.wire.as_deref().unwrap_or(&self.name)
    }
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text.
    #[default]
    Text,
    /// Text that is a UUID.
    Uuid,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A plain decimal number without a sign, sent as text; for an amount field also money.
    Decimal,
    /// A time, sent as RFC 3339 text.
    Time,
    /// A list of texts.
    Texts,
    /// A map from text to text.
    TextMap,
    /// A map whose members a shape describes.
    Object,
}

impl Kind {
    /// What a person calls it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Uuid => "a UUID",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Decimal => "an amount",
            Self::Time => "a time",
            Self::Texts => "a list of texts",
            Self::TextMap => "a map from text to text",
            Self::Object => "a map",
        }
    }
}

/// The members of a nested argument. With a tag, the member of that name chooses among the variants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The member that chooses.
    pub tag: Option<String>,
    /// The members of each choice, without the tag.
    #[serde(default)]
    pub variant: BTreeMap<String, Vec<Param>>,
    /// The members, where there is no choice.
    #[serde(default)]
    pub fields: Vec<Param>,
}

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

/// Who gets the money.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beneficiary {
    /// The parameter.
    pub field: String,
    /// If it is a map, the members that name an account; the others describe it (a holder's name).
    #[serde(default)]
    pub keys: Vec<String>,
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
}

/// The webhooks of a provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookTable {
    /// How they are signed.
    pub signature: Scheme,
    /// Where a delivery says what.
    pub envelope: Envelope,
    /// The types of event known so far; others may come.
    #[serde(rename = "event")]
    pub events: Vec<EventType>,
    /// How they are asked for, if there are calls for it.
    pub subscriptions: Option<Subscriptions>,
}

/// The calls by which a provider is told where to send webhooks, by the names of their endpoints. Their parameters are
/// called `url`, `events` and `id`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriptions {
    /// Lists them.
    pub list: String,
    /// Makes one.
    pub create: String,
    /// Changes the address or the events of one.
    pub update: Option<String>,
    /// Ends one.
    pub delete: Option<String>,
    /// Has a test event sent to one; its answer is the event as listed.
    pub test: Option<String>,
    /// The type of that event, which cannot be subscribed to.
    pub test_event: Option<String>,
    /// What stands for all types.
    pub all: Option<String>,
    /// Where in the answer to `create` the secret stands, if anywhere: a pointer.
    pub secret: Option<String>,
    /// Where a person finds the secret otherwise: the end of a sentence.
    pub secret_shown: String,
}

impl WebhookTable {
    /// The names of the known types.
    pub fn event_names(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| event.name.as_str())
    }
}

/// A type of event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// Its name: `payout.paid`.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
}

/// Where an event says what, as JSON pointers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The provider's id of the event. A webhook may have none: then its message is told from others by what
    /// [`super::signature::message_id`] says.
    pub id: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The resource.
    pub payload: String,
    /// When it happened.
    pub date: Option<String>,
    /// The id of the resource.
    pub subject: Option<String>,
}

/// How missed webhooks are found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// The endpoint that lists events.
    pub endpoint: String,
    /// Its parameter that takes the earliest time.
    pub since: String,
    /// For how long the provider keeps events.
    pub window_days: u32,
    /// Where an item of the list says what.
    pub envelope: Envelope,
}
