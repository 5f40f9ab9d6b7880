//! Scripted faults: which request or event goes wrong, and how. Rules and their counters; the wrong-doing
//! itself happens where answers and deliveries are made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::simulator::augustus::resources::Failure;

/// One rule. Of several that match, the first fires.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The operation, such as `create_payout`; any when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// `GET`, `POST` or `DELETE`; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// Fields of the request body that must be so, by JSON pointer.
    #[serde(default)]
    pub body: BTreeMap<String, Json>,
    /// Fires from this matching request on, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Fires so often at most. Absent: once if `nth` is given, else each time.
    #[serde(default)]
    pub times: Option<u64>,
    /// What goes wrong.
    pub action: FaultAction,
}

impl FaultRule {
    /// A rule for one operation that fires each time; narrow it with the other methods.
    pub fn on(endpoint: &str, action: FaultAction) -> Self {
        Self {
            endpoint: Some(endpoint.to_owned()),
            method: None,
            body: BTreeMap::new(),
            nth: None,
            times: None,
            action,
        }
    }

    /// Fires so often at most.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Fires from the nth matching request on; once, unless [`FaultRule::times`] says otherwise.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = Some(nth);
        self
    }

    /// Only requests whose body has this value at this JSON pointer.
    #[must_use]
    pub fn body(mut self, pointer: &str, value: impl Into<Json>) -> Self {
        self.body.insert(pointer.to_owned(), value.into());
        self
    }

    fn matches(&self, endpoint: &str, method: &str, body: &Json) -> bool {
        self.endpoint.as_deref().is_none_or(|name| name == endpoint)
            && self
                .method
                .as_deref()
                .is_none_or(|name| name.eq_ignore_ascii_case(method))
            && self
                .body
                .iter()
                .all(|(pointer, value)| body.pointer(pointer) == Some(value))
    }
}

/// Before or after the request has its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing has happened.
    #[default]
    Before,
    /// It has happened.
    After,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// The connection is closed at once; nothing happens.
    Refuse,
    /// It takes so long.
    Delay {
        /// How long.
        ms: u64,
        /// Before or after the effect.
        #[serde(default)]
        when: When,
    },
    /// It happens, then the connection is closed without an answer.
    DropAfterEffect,
    /// It happens, this status is answered and kept or not kept as such an error is, and the connection is closed before
    /// anything of it has arrived.
    ErrorLost {
        /// 500, 502, 503, 504.
        status: u16,
    },
    /// This status is answered.
    Status {
        /// 429, 500, 502, 503, 504.
        status: u16,
        /// Before or after the effect.
        #[serde(default)]
        when: When,
        /// The `Retry-After` header, in seconds.
        #[serde(default)]
        retry_after_secs: Option<u64>,
    },
    /// It is refused with this code of the provider's; nothing happens.
    Refusal {
        /// 409, 422.
        status: u16,
        /// `conflict`, `request_in_progress`.
        code: String,
    },
    /// A success whose JSON breaks off in the middle.
    TruncatedBody,
    /// A success that promises more bytes than come.
    CutBody,
    /// A success that is JSON, but not the documented resource.
    WrongSchema,
    /// A success that shows another amount than was asked for.
    WrongAmount {
        /// The amount shown.
        amount: String,
    },
    /// A success with this value at this JSON pointer.
    Replace {
        /// Where.
        pointer: String,
        /// What stands there instead.
        value: Json,
    },
    /// The answer comes a few bytes at a time.
    SlowDrip {
        /// Bytes at a time.
        bytes: usize,
        /// The wait between.
        interval_ms: u64,
    },
    /// What is created stays out of lists for so long.
    Unlisted {
        /// How long.
        ms: u64,
    },
    /// What is created is accepted and fails later.
    FailLater {
        /// Why.
        failure: Failure,
    },
}

/// One rule for webhook deliveries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookFaultRule {
    /// The event type; any when absent.
    #[serde(default)]
    pub event: Option<String>,
    /// Fires from this matching event on, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Fires so often at most. Absent: once if `nth` is given, else each time.
    #[serde(default)]
    pub times: Option<u64>,
    /// What goes wrong.
    pub action: WebhookFault,
}

impl WebhookFaultRule {
    /// A rule for one event type that fires each time.
    pub fn on(event: &str, action: WebhookFault) -> Self {
        Self {
            event: Some(event.to_owned()),
            nth: None,
            times: None,
            action,
        }
    }

    /// Fires so often at most.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }
}

/// What goes wrong with a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum WebhookFault {
    /// It is sent so many times more.
    Duplicate {
        /// Further copies.
        count: u32,
    },
    /// It is never sent; the event exists.
    Drop,
    /// It is sent later.
    Delay {
        /// By so much.
        ms: u64,
    },
    /// It is sent after the next event of the same subscription.
    Reorder,
}

/// Counts matching calls of a rule and decides whether it fires.
#[derive(Debug, Clone, Default)]
struct Counter {
    seen: u64,
    fired: u64,
}

impl Counter {
    /// Counts a matching call; fires on it unless another rule already did.
    fn fires(&mut self, taken: bool, nth: Option<u64>, times: Option<u64>) -> bool {
        self.seen += 1;
        let limit = times.or(nth.map(|_| 1)).unwrap_or(u64::MAX);
        let fires = !taken && self.seen >= nth.unwrap_or(1) && self.fired < limit;
        self.fired += u64::from(fires);
        fires
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    requests: Vec<(FaultRule, Counter)>,
    webhooks: Vec<(WebhookFaultRule, Counter)>,
}

impl Faults {
    pub(crate) fn new(requests: &[FaultRule], webhooks: &[WebhookFaultRule]) -> Self {
        Self {
            requests: requests.iter().map(|rule| (rule.clone(), Counter::default())).collect(),
            webhooks: webhooks.iter().map(|rule| (rule.clone(), Counter::default())).collect(),
        }
    }

    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.requests.push((rule, Counter::default()));
    }

    pub(crate) fn add_webhook(&mut self, rule: WebhookFaultRule) {
        self.webhooks.push((rule, Counter::default()));
    }

    /// The fault for this request. Every rule that matches counts it, also one that comes too late to fire.
    pub(crate) fn for_request(&mut self, endpoint: &str, method: &str, body: &Json) -> Option<FaultAction> {
        let mut chosen = None;
        for (rule, counter) in &mut self.requests {
            if rule.matches(endpoint, method, body) && counter.fires(chosen.is_some(), rule.nth, rule.times) {
                chosen = Some(rule.action.clone());
            }
        }
        chosen
    }

    /// The fault for the delivery of this event.
    pub(crate) fn for_event(&mut self, event_type: &str) -> Option<WebhookFault> {
        let mut chosen = None;
        for (rule, counter) in &mut self.webhooks {
            let matches = rule.event.as_deref().is_none_or(|name| name == event_type);
            if matches && counter.fires(chosen.is_some(), rule.nth, rule.times) {
                chosen = Some(rule.action.clone());
            }
        }
        chosen
    }

    /// Each rule with how often it matched and fired.
    pub(crate) fn describe(&self) -> Json {
        let requests = self.requests.iter().map(|(rule, counter)| describe(rule, counter));
        let webhooks = self.webhooks.iter().map(|(rule, counter)| describe(rule, counter));
        serde_json::json!({
            "requests": requests.collect::<Vec<_>>(),
            "webhooks": webhooks.collect::<Vec<_>>(),
        })
    }
}

fn describe(rule: impl Serialize, counter: &Counter) -> Json {
    serde_json::json!({ "rule": rule, "seen": counter.seen, "fired": counter.fired })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(rule: FaultRule, calls: usize) -> Vec<bool> {
        let mut faults = Faults::new(&[rule], &[]);
        (0..calls)
            .map(|_| faults.for_request("create_payout", "POST", &Json::Null).is_some())
            .collect()
    }

    #[test]
    fn a_rule_fires_when_its_counts_say_so() {
        let rule = || FaultRule::on("create_payout", FaultAction::Refuse);
        assert_eq!(fired(rule(), 3), [true, true, true]);
        assert_eq!(fired(rule().times(2), 3), [true, true, false]);
        assert_eq!(fired(rule().nth(2), 3), [false, true, false]);
        assert_eq!(fired(rule().nth(2).times(2), 4), [false, true, true, false]);
        assert_eq!(
            fired(FaultRule::on("list_payouts", FaultAction::Refuse), 2),
            [false, false]
        );
    }

    #[test]
    fn a_rule_can_look_at_the_body() {
        let rule = FaultRule::on("create_payout", FaultAction::Refuse).body("/reference", "INV-2");
        let mut faults = Faults::new(&[rule], &[]);
        let mut check = |reference: &str| {
            let body = serde_json::json!({ "reference": reference });
            faults.for_request("create_payout", "POST", &body).is_some()
        };
        assert!(!check("INV-1"));
        assert!(check("INV-2"));
    }
}
