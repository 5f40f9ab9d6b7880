//! The table of a provider: its types, as they stand in the TOML file, and the questions asked of it.
//!
//! Plain data. Reading a text is `parse`, what the types cannot say is `check`. Request fields are named by
//! dotted paths (`metadata.bursar`), places in an answer by JSON pointers (`/metadata/bursar`).

mod bounds;
mod check;
mod endpoint;
mod errors;
mod key;
mod map;
mod money;
mod paging;
mod param;
mod parse;
mod parts;
mod send_back;
mod setting;
mod webhook;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Deserialize;

use super::redact::SensitiveNames;
use crate::model::diagnostic::Diagnostic;

pub use bounds::{Chars, Form, TimeForm, Times};
pub use endpoint::{AnswerKind, Beneficiary, Echo, Effect, Endpoint, InDoubt, Method, OurReference, ReferenceForm};
pub use errors::{ErrorClass, ErrorRow, Errors, Pointers};
pub use key::{Idempotency, InFlight, KEY_LENGTH, Kept, KeyField, KeyPlace, NaturalKey};
pub use map::{
    Achieved, Always, Existing, Held, OriginalMap, OwnAccount, PrimitiveMap, QuoteMap, Resource, Stage, StageRow,
};
pub use money::{AmountBefore, AmountField, AmountPlace, MoneyTable, Unit, Whole};
pub use paging::{Counted, PageParam, PageSize, Pagination, Style};
pub use param::{Kind, Param, Place, Shape, WHOLE_BODY};
pub use parts::{DividedItem, DividedMap, DividedRefunds, PartsMap, SumRule, Unless};
pub use send_back::{BackMap, DepositMap, SentMap};
pub use setting::{CommonTable, Need, SettingTable};
pub use webhook::{Backfill, Envelope, EventType, Subscriptions, WebhookTable};

/// Headers that belong to how a request is sent, or to who sends it.
const OWN_HEADERS: &[&str] = &[
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// A described provider.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its name in settings, and that of its file.
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
    /// How amounts are written.
    pub money: Arc<MoneyTable>,
    /// What refused calls look like and mean.
    pub errors: Errors,
    /// Members of requests and answers that nobody is shown.
    pub redact: SensitiveNames,
    /// How many requests the provider takes, if it says so.
    pub rate: Option<RateTable>,
    settings: BTreeMap<String, SettingTable>,
    commons: BTreeMap<String, CommonTable>,
    paginations: BTreeMap<String, Arc<Pagination>>,
    /// Treasury primitives that cannot be done here, each with the reason.
    pub lacks: BTreeMap<String, String>,
    /// What the provider does not say and somebody who moves money should know, a sentence each.
    pub gaps: Vec<Gap>,
    webhook: Option<WebhookTable>,
    backfill: Option<Backfill>,
    shapes: BTreeMap<String, Shape>,
    endpoints: BTreeMap<String, Endpoint>,
    /// Of endpoints whose path a connection says: the path that the table says.
    written_paths: BTreeMap<String, String>,
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

    /// The same with other paths of these endpoints, as a connection says them.
    #[must_use]
    pub fn with_paths(&self, paths: &BTreeMap<String, String>) -> Self {
        let mut own = self.clone();
        for (name, path) in paths {
            if let Some(endpoint) = own.endpoints.get_mut(name) {
                let written = std::mem::replace(&mut endpoint.path, path.clone());
                own.written_paths.entry(name.clone()).or_insert(written);
            }
        }
        own
    }

    /// The endpoints whose path a connection says, each with the path that the table says.
    pub fn own_paths(&self) -> impl Iterator<Item = (&Endpoint, &str)> {
        let written = self.written_paths.iter();
        written.filter_map(|(name, path)| Some((self.endpoints.get(name)?, path.as_str())))
    }

    /// Which answers the key of an endpoint is kept with; none where it bears no key that bursar makes.
    pub fn kept(&self, endpoint: &Endpoint) -> Option<Kept> {
        match &endpoint.key {
            KeyPlace::Header => self.idempotency.as_ref().map(|table| table.kept),
            KeyPlace::Field(place) => Some(place.kept),
            KeyPlace::Natural(_) | KeyPlace::None => None,
        }
    }

    /// Whether an error leaves the key of an endpoint free although it came after the effect. Then nobody who did not hear
    /// the answer may send the call again under it.
    pub fn frees(&self, endpoint: &Endpoint) -> bool {
        self.kept(endpoint) == Some(Kept::Successes) && !endpoint.same_twice
    }

    /// Whether a call of an endpoint is sent again under its key when nobody heard the answer.
    pub fn repeats(&self, endpoint: &Endpoint) -> bool {
        endpoint.in_doubt == InDoubt::Repeat && !self.frees(endpoint)
    }

    /// What becomes of a call of an endpoint that meets the first one still on its way.
    pub fn in_flight(&self, endpoint: &Endpoint) -> Option<InFlight> {
        match &endpoint.key {
            KeyPlace::Field(place) => Some(place.in_flight),
            KeyPlace::Header | KeyPlace::Natural(_) | KeyPlace::None => {
                self.idempotency.as_ref().map(|table| table.in_flight)
            }
        }
    }

    /// Who writes a header of this name into every request, if anybody does.
    pub fn writes_header(&self, name: &str) -> Option<&'static str> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        if OWN_HEADERS.iter().any(|known| is(known)) {
            Some("bursar")
        } else if matches!(&self.auth, Auth::Header { name } if is(name)) {
            Some("[auth]")
        } else if self.idempotency.as_ref().is_some_and(|table| is(&table.header)) {
            Some("[idempotency]")
        } else if self.headers.keys().any(|known| is(known)) {
            Some("[headers]")
        } else {
            None
        }
    }

    /// Every endpoint, by name.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// The read that tells most and takes least: the one that the table names as its `probe`, else the one that shows the
    /// key, else the first read without arguments. Of that one nobody says that every key may make it.
    pub fn harmless_read(&self) -> Option<&Endpoint> {
        let usable = |endpoint: &&Endpoint| {
            endpoint.effect == Effect::Read
                && !endpoint.public
                && !endpoint.path.contains('{')
                && !endpoint.needs_argument()
        };
        let named = self.endpoints().find(|endpoint| endpoint.probe);
        let own = || self.endpoints().find(|endpoint| endpoint.shows_key && usable(endpoint));
        named.or_else(own).or_else(|| self.endpoints().find(usable))
    }

    /// What a connection may say, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &SettingTable)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// One of them.
    pub fn setting(&self, name: &str) -> Option<&SettingTable> {
        self.settings.get(name)
    }

    /// The parameters that many endpoints have, by name.
    pub fn commons(&self) -> impl Iterator<Item = (&str, &CommonTable)> {
        self.commons.iter().map(|(name, common)| (name.as_str(), common))
    }

    /// The ways in which its lists come, by name.
    pub fn paginations(&self) -> impl Iterator<Item = &Pagination> {
        self.paginations.values().map(Arc::as_ref)
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

    /// The type of an event here, which the provider calls `sent`, with the status that its resource is shown in.
    pub(super) fn event_kind(&self, sent: String, mut said: impl FnMut(&str) -> Option<String>) -> String {
        let made = self.webhook.as_ref().and_then(|webhook| {
            let of_sent = |event: &&EventType| event.of.as_deref() == Some(sent.as_str());
            let first = webhook.events.iter().find(of_sent)?;
            let status = said(&self.resource(webhook.about(first)?)?.status)?;
            let mut made_of_it = webhook.events.iter().filter(of_sent);
            made_of_it.find(|event| event.status.contains(&status))
        });
        made.map(|event| event.name.clone()).unwrap_or(sent)
    }

    /// The types that tell the same of a resource as this one, or what comes later in its life: once one of them was
    /// told, this one is old news.
    pub fn outdating(&self, kind: &str) -> Vec<&str> {
        let told = |webhook: &WebhookTable| -> Option<(String, usize)> {
            let event = webhook.event(kind)?;
            let about = webhook.about(event)?;
            Some((about.to_owned(), event.rank(self.resource(about)?)?))
        };
        let Some((webhook, (about, rank))) = self.webhook.as_ref().and_then(|table| Some((table, told(table)?))) else {
            return Vec::new();
        };
        let resource = self.resource(&about);
        let outdates = |event: &&EventType| {
            webhook.about(event) == Some(&about)
                && resource
                    .and_then(|resource| event.rank(resource))
                    .is_some_and(|later| later >= rank)
        };
        let later = webhook.events.iter().filter(outdates);
        later.map(|event| event.name.as_str()).collect()
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

/// Something the provider does not say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// What, and what is assumed or done instead.
    pub doc: String,
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
