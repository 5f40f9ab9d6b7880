//! What an answer means for the step that asked: done, not done, or nobody knows.
//!
//! Pure. The provider's table decides first, then the status alone, and whatever neither names may have
//! happened. A verdict speaks of *one attempt*: that this one was not done says nothing of an earlier one.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use serde_json::Value as Json;

use super::alike;
use super::client::SendError;
use super::lookup::Match;
use super::redact::Redactor;
use super::request::{identity, key_of, sent};
use super::table::{AnswerKind, Connector, Effect, Endpoint, ErrorClass, ErrorRow, Pagination, Pointers};
use super::units;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::limits::{RETRY_AFTER_MAX, RETRY_AFTER_MIN};
use crate::model::journal::{Failure, StoredRequest};
use crate::model::policy::Movement;
use crate::model::value::Value;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl RawAnswer {
    /// The first header of this name, in whatever case it is given.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It was done.
    Applied {
        /// What the provider says of it.
        value: Value,
        /// Whether an earlier attempt had done it, and this is its answer.
        replayed: bool,
    },
    /// It was not done by this attempt.
    NotApplied {
        /// Why.
        failure: Failure,
        /// Whether the same call later may be done.
        retry: Option<RetryHint>,
        /// Whether our credentials or their scope were refused: no call will be done until a person acts.
        refused: bool,
    },
    /// It may have been done.
    Unknown {
        /// What was seen.
        reason: String,
        /// Whether the same bytes under the same key may help; none: it has to be looked up.
        retry: Option<RetryHint>,
    },
    /// What was done is not what was asked, or the key is known with another request. Never to be sent again.
    Contradiction {
        /// What does not fit.
        reason: String,
    },
}

/// The same call later may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryHint {
    /// How long the provider wants to be left alone, if it says so.
    pub after: Option<Duration>,
    /// Whether it says that we are too fast.
    pub too_fast: bool,
}

/// What the provider's clock said when it answered (RFC 9110, `Date`).
pub fn provider_time(answer: &RawAnswer) -> Option<Instant> {
    let date = DateTime::parse_from_rfc2822(answer.header("date")?).ok()?;
    Some(date.to_utc())
}

/// What an answer means. `movement` is what the request was to move.
pub fn classify(
    connector: &Connector,
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
    answer: &RawAnswer,
) -> Verdict {
    match answer.status {
        200..=299 => success(connector, endpoint, request, movement, answer),
        _ => refusal(connector, endpoint, request, answer),
    }
}

/// What it means that no answer came.
pub fn classify_error(endpoint: &Endpoint, error: &SendError) -> Verdict {
    match (error, endpoint.effect) {
        (SendError::NotSent(reason), _) => try_again("not_sent", reason.clone()),
        (SendError::NoCredential(_), _) => Verdict::NotApplied {
            failure: Failure::new("no_credential", error.to_string()),
            retry: None,
            refused: true,
        },
        (SendError::Unknown(reason), Effect::Read) => try_again("no_answer", reason.clone()),
        (SendError::Unknown(reason), Effect::Write | Effect::MovesMoney) => unheard(reason.clone()),
    }
}

fn try_again(code: &str, message: String) -> Verdict {
    Verdict::NotApplied {
        failure: Failure::new(code, message),
        retry: Some(RetryHint::default()),
        refused: false,
    }
}

fn unheard(reason: String) -> Verdict {
    Verdict::Unknown {
        reason,
        retry: Some(RetryHint::default()),
    }
}

fn success(
    connector: &Connector,
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
    answer: &RawAnswer,
) -> Verdict {
    let value = match read_body(connector, endpoint, &answer.body) {
        Ok(value) => value,
        Err(reason) => {
            let reason = format!("{} answered {}, but {reason}", connector.title, answer.status);
            return match endpoint.effect {
                Effect::Read => try_again("unreadable_answer", reason),
                Effect::Write | Effect::MovesMoney => unheard(reason),
            };
        }
    };
    if let Some(reason) = contradiction(endpoint, request, movement, &value)
        && holds(Guard::Contradiction)
    {
        return Verdict::Contradiction { reason };
    }
    let replayed = connector
        .idempotency
        .as_ref()
        .and_then(|table| answer.header(table.replayed_header.as_deref()?))
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Verdict::Applied { value, replayed }
}

/// The answer as a value; refused if it cannot be what the endpoint answers.
fn read_body(connector: &Connector, endpoint: &Endpoint, body: &[u8]) -> Result<Value, String> {
    if body.is_empty() && endpoint.effect == Effect::Write {
        return Ok(Value::Null);
    }
    let json: Json = match (serde_json::from_slice(body), endpoint.answer) {
        (Ok(json), AnswerKind::Json | AnswerKind::Any) => json,
        (Err(_), AnswerKind::Any) if body.is_empty() && endpoint.effect != Effect::MovesMoney => Json::Null,
        (_, AnswerKind::Text | AnswerKind::Any) if !body.is_empty() => {
            let text = std::str::from_utf8(body).map_err(|_| "its body is not text".to_owned())?;
            Json::from(text)
        }
        (_, AnswerKind::Json) => return Err("its body is not JSON".to_owned()),
        (_, AnswerKind::Text | AnswerKind::Any) => return Err("its body is empty".to_owned()),
    };
    let value = Value::from_plain(&json).map_err(|error| format!("its body cannot be taken: {error}"))?;
    let items = |paging: &Pagination| value.pointer(&paging.items).and_then(Value::as_list);
    if endpoint.paging.as_ref().is_some_and(|paging| items(paging).is_none()) {
        return Err("its body is not a list".to_owned());
    }
    let resource = endpoint.resource.as_deref().and_then(|kind| connector.resource(kind));
    let has_id = |value: &Value, id: &str| value.pointer(id).is_some_and(|id| !id.is_null());
    match resource.filter(|_| endpoint.paging.is_none()) {
        Some(resource) if !has_id(&value, &resource.id) => Err("its body names no id".to_owned()),
        _ => Ok(value),
    }
}

/// What speaks against it that a resource was made by a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Misfit {
    /// All that is not as it was asked for.
    pub differs: Vec<String>,
    /// What it does not say, so that it may as well be something else.
    pub unsaid: Vec<&'static str>,
}

/// What in a resource does not fit the request that is said to have made it, and what of it nobody can tell.
///
/// # Errors
/// Why it cannot be what the endpoint answers at all.
pub fn misfit(
    connector: &Connector,
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
    resource: &Json,
) -> Result<Misfit, String> {
    let value = read_body(connector, endpoint, resource.to_string().as_bytes())?;
    let differs = [
        another_amount(endpoint, movement, &value),
        about_another(endpoint, request, &value),
        another_beneficiary(endpoint, request, &value),
        not_as_sent(endpoint, request, &value),
    ];
    Ok(Misfit {
        differs: differs.into_iter().flatten().collect(),
        unsaid: movement.map_or_else(Vec::new, |movement| all_unsaid(endpoint, request, movement, &value)),
    })
}

/// All that a resource would have to say of a movement, and does not. What its table has no place for is not said
/// either, but for whom it went to: an answer that never names them is as good as it gets.
fn all_unsaid(endpoint: &Endpoint, request: &StoredRequest, movement: &Movement, value: &Value) -> Vec<&'static str> {
    let echo = &endpoint.echo;
    let says = |pointer| said(value, pointer).is_some();
    let has_amount = movement.amount.is_some();
    let names_beneficiary = movement.beneficiary.is_some() && echo.beneficiary.is_some();
    let missing = [
        (has_amount && !says(&echo.amount), "its amount"),
        (
            has_amount && !says(&echo.currency) && endpoint.money.currency.is_none(),
            "its currency",
        ),
        // Where the whole of something moves, that has to be named.
        (
            !has_amount && !is_about(endpoint, request, value),
            "what it was made for",
        ),
        (
            names_beneficiary && says_beneficiary(endpoint, request, value) != Some(true),
            "its beneficiary",
        ),
    ];
    let missing = missing.into_iter().filter(|(is_missing, _)| *is_missing);
    missing.map(|(_, what)| what).collect()
}

/// Whether a resource shows that by which a look-up would know it.
fn is_about(endpoint: &Endpoint, request: &StoredRequest, value: &Value) -> bool {
    let shown = told_by(endpoint).and_then(|(field, pointer)| {
        sent(endpoint, request, field)?;
        value.pointer(pointer)
    });
    shown.is_some_and(|shown| !shown.is_null())
}

/// What in an answer does not fit the request it answers, if anything: amounts compared as amounts, accounts
/// by what names them, and what tells ours from the others. What the answer leaves out contradicts nothing.
pub fn contradiction(
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
    value: &Value,
) -> Option<String> {
    another_amount(endpoint, movement, value)
        .or_else(|| about_another(endpoint, request, value))
        .or_else(|| another_beneficiary(endpoint, request, value))
        .or_else(|| not_as_sent(endpoint, request, value))
}

fn about_another(endpoint: &Endpoint, request: &StoredRequest, value: &Value) -> Option<String> {
    let field = another_resource(endpoint, request, value)?;
    Some(format!("the answer is about another one: it differs under `{field}`"))
}

/// The same of something that stands inside of what it was made of: what it has to show, its look-up says.
pub(super) fn contradiction_inside(
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
    value: &Value,
) -> Option<String> {
    another_amount(endpoint, movement, value).or_else(|| another_beneficiary(endpoint, request, value))
}

/// What the answer has to show as it was sent and does not: where a number of ours makes the provider answer with what
/// it has, that may be something else.
fn not_as_sent(endpoint: &Endpoint, request: &StoredRequest, value: &Value) -> Option<String> {
    let mut said = endpoint.echo.same.iter();
    let (field, _) = said.find(|(field, at)| {
        let Some(sent) = sent(endpoint, request, field) else {
            return false;
        };
        let shown = value.pointer(at).unwrap_or(&Value::Null);
        !alike::shows(endpoint.param(field).map(|param| param.kind), &sent, shown)
    })?;
    holds(Guard::EchoSame).then(|| format!("the answer does not show what was sent as `{field}`"))
}

/// Whether a resource moves what the request would move, whoever asked for it.
pub fn same_movement(endpoint: &Endpoint, request: &StoredRequest, movement: &Movement, value: &Value) -> bool {
    another_amount(endpoint, Some(movement), value).is_none() && another_beneficiary(endpoint, request, value).is_none()
}

/// What of a movement a resource does not say, so that nobody can tell by it alone whether it is the same one.
pub(super) fn left_unsaid(
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: &Movement,
    value: &Value,
) -> Option<&'static str> {
    let says = |pointer| said(value, pointer).is_some();
    let says_currency = says(&endpoint.echo.currency) || endpoint.money.currency.is_some();
    let says_amount = says(&endpoint.echo.amount) && says_currency;
    if movement.amount.is_some() && !says_amount {
        return Some("amount");
    }
    let has_beneficiary = movement.beneficiary.is_some();
    (has_beneficiary && says_beneficiary(endpoint, request, value) != Some(true)).then_some("beneficiary")
}

/// Whether a resource repeats everything by which the request names its beneficiary.
fn says_beneficiary(endpoint: &Endpoint, request: &StoredRequest, value: &Value) -> Option<bool> {
    let described = endpoint.beneficiary.as_ref()?;
    let answered = said(value, &endpoint.echo.beneficiary)?;
    let (wanted, answered) = (sent(endpoint, request, &described.field)?, answered.to_plain());
    if !wanted.is_object() || !answered.is_object() {
        return Some(true);
    }
    let says = |value: &Json, key: &str| key_of(value, key).is_some();
    let mut named = described.keys.iter().filter(|key| says(&wanted, key)).peekable();
    Some(named.peek().is_some() && named.all(|key| says(&answered, key)))
}

/// What a resource says of its amount, for people.
pub fn amount_said(endpoint: &Endpoint, value: &Value) -> Option<String> {
    let amount = said(value, &endpoint.echo.amount)?;
    let currency = said(value, &endpoint.echo.currency).map(|currency| format!("{currency} "));
    Some(format!("{}{amount}", currency.unwrap_or_default()))
}

fn said<'a>(value: &'a Value, pointer: &Option<String>) -> Option<&'a Value> {
    let said = value.pointer(pointer.as_deref()?)?;
    (!said.is_null()).then_some(said)
}

fn another_amount(endpoint: &Endpoint, movement: Option<&Movement>, value: &Value) -> Option<String> {
    let echo = &endpoint.echo;
    let said = |pointer| said(value, pointer);
    let asked = movement.and_then(|movement| movement.amount);
    if let (Some(asked), Some(code)) = (asked, said(&echo.currency))
        && code.as_text() != Some(asked.currency().code())
    {
        return Some(format!("asked for {asked}, the answer says {code}"));
    }
    if let (Some(asked), Some(amount)) = (asked, said(&echo.amount))
        && units::read(&endpoint.money, endpoint.unit(), amount, asked.currency()) != Some(asked)
    {
        return Some(format!("asked for {asked}, the answer says {amount}"));
    }
    None
}

fn another_beneficiary(endpoint: &Endpoint, request: &StoredRequest, value: &Value) -> Option<String> {
    let described = endpoint.beneficiary.as_ref()?;
    let answered = said(value, &endpoint.echo.beneficiary)?;
    let (wanted, answered) = (sent(endpoint, request, &described.field)?, answered.to_plain());
    let differs = match (&wanted, &answered) {
        (Json::Object(_), Json::Object(_)) => described.keys.iter().any(|key| {
            let both = (key_of(&wanted, key), key_of(&answered, key));
            matches!(both, (Some(wanted), Some(answered)) if wanted != answered)
        }),
        (Json::Array(_), Json::Array(_)) => identity(described, &wanted) != identity(described, &answered),
        (wanted, answered) => wanted != answered,
    };
    differs.then(|| format!("the answer names another beneficiary under `{}`", described.field))
}

/// The field by which a look-up would tell what the answer shows from what was asked for, if it would.
fn another_resource<'a>(endpoint: &'a Endpoint, request: &StoredRequest, value: &Value) -> Option<&'a str> {
    let (field, pointer) = told_by(endpoint)?;
    let wanted = sent(endpoint, request, field)?;
    let shown = value.pointer(pointer)?;
    let kind = endpoint.param(field).map(|param| param.kind);
    let are_texts = wanted.is_string() && shown.as_text().is_some();
    (are_texts && !alike::shows(kind, &wanted, shown)).then_some(field)
}

/// The request field by which a look-up tells ours from the others, and where an answer shows it.
fn told_by(endpoint: &Endpoint) -> Option<(&str, &str)> {
    match &endpoint.lookup.as_ref()?.matching {
        Match::Reference(pointer) | Match::ReferenceAtEnd(pointer) => {
            Some((endpoint.our_reference.as_ref()?.field.as_str(), pointer.as_str()))
        }
        Match::Natural { field, pointer, .. } => Some((field.as_str(), pointer.as_str())),
        // What is read then is not what the call answers with.
        Match::Fresh { .. } | Match::State { .. } | Match::Content(_) | Match::Gone(_) => None,
    }
}

fn refusal(connector: &Connector, endpoint: &Endpoint, request: &StoredRequest, answer: &RawAnswer) -> Verdict {
    let body = serde_json::from_slice::<Json>(&answer.body)
        .ok()
        .and_then(|json| Value::from_plain(&json).ok());
    let text_at = |pointers: &Pointers| {
        let body = body.as_ref()?;
        let text = pointers.iter().find_map(|pointer| body.pointer(pointer)?.as_text())?;
        Some(text.to_owned())
    };
    let errors = &connector.errors;
    let code = text_at(&errors.code);
    let hint = RetryHint {
        after: retry_after(answer),
        too_fast: answer.status == 429,
    };
    let class = class_of(connector, answer.status, code.as_deref());
    // Providers repeat what was wrong: what nobody is to read has no place in a log.
    let said = text_at(&errors.message).map(|message| {
        let redactor = Redactor::new(connector.redact.clone()).with(&serde_json::json!([request.path, request.body]));
        let answered = body.as_ref().map(Value::to_plain).unwrap_or_default();
        redactor.with(&answered).text(&message)
    });
    let message = describe(connector, answer, code.as_deref(), said);
    let should_retry = errors
        .should_retry_header
        .as_deref()
        .and_then(|name| answer.header(name))
        .and_then(|value| value.parse::<bool>().ok());

    let mut failure = Failure::new(code.unwrap_or_else(|| default_code(answer.status)), &message);
    failure.details = Value::map([
        ("status", Value::Int(answer.status.into())),
        ("answer", body.unwrap_or_default()),
    ]);
    let not_applied = |retry: bool, refused: bool| Verdict::NotApplied {
        failure,
        retry: retry.then_some(hint),
        refused,
    };
    // The provider's word on trying again outranks the table, where trying again cannot do harm. It never makes an
    // unknown outcome known. A redirect is not followed, and will be there the next time too.
    let is_redirect = (300..400).contains(&answer.status);
    match (class, should_retry) {
        (ErrorClass::Failed | ErrorClass::Refused | ErrorClass::Retry, Some(true)) => not_applied(true, false),
        (ErrorClass::Failed, _) => not_applied(false, false),
        (ErrorClass::Refused, _) => not_applied(false, true),
        (ErrorClass::Retry, should) => not_applied(should != Some(false), false),
        (ErrorClass::Unknown, should) if endpoint.effect == Effect::Read => {
            not_applied(should.unwrap_or(!is_redirect), false)
        }
        (ErrorClass::Unknown, should) => Verdict::Unknown {
            reason: message,
            retry: should.unwrap_or(!is_redirect).then_some(hint),
        },
        (ErrorClass::Contradiction, _) => Verdict::Contradiction { reason: message },
    }
}

/// The class of a status and code: the row of both, else that of the code, else, where there is no code, the row that
/// speaks of that, else the row of the status, else the status alone.
pub fn class_of(connector: &Connector, status: u16, code: Option<&str>) -> ErrorClass {
    let rows = || connector.errors.classes.iter();
    let of_status = || rows().filter(|row| row.status == Some(status));
    let of_code = |row: &&ErrorRow| row.code.is_some() && row.code.as_deref() == code;
    of_status()
        .find(of_code)
        .or_else(|| rows().filter(|row| row.status.is_none()).find(of_code))
        .or_else(|| of_status().find(|row| row.bare && code.is_none()))
        .or_else(|| of_status().find(|row| row.code.is_none() && !row.bare))
        .map_or_else(|| default_class(status), |row| row.class)
}

/// What a status means where a table is silent. 409 and 422 mean several things in the world, one of them
/// "done already": without the provider's word they may have happened.
fn default_class(status: u16) -> ErrorClass {
    match status {
        400 | 402 | 404..=407 | 410..=417 | 426 | 428 | 431 | 451 => ErrorClass::Failed,
        401 | 403 => ErrorClass::Refused,
        425 | 429 => ErrorClass::Retry,
        _ if !holds(Guard::ErrorUnknown) => ErrorClass::Failed,
        _ => ErrorClass::Unknown,
    }
}

fn default_code(status: u16) -> String {
    let name = match status {
        400 => "bad_request",
        401 => "unauthorized",
        402 => "payment_required",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "rate_limited",
        500..=599 => "provider_error",
        _ => return format!("http_{status}"),
    };
    name.to_owned()
}

/// One sentence for people, cut to a length a log line bears.
fn describe(connector: &Connector, answer: &RawAnswer, code: Option<&str>, message: Option<String>) -> String {
    let mut text = format!("{} answered {}", connector.title, answer.status);
    if let Some(code) = code {
        text.push_str(&format!(" {code}"));
    }
    if let Some(message) = message {
        let message: String = message.chars().take(300).collect();
        text.push_str(&format!(": {message}"));
    }
    let correlation = connector.errors.correlation_header.as_deref();
    if let Some(id) = correlation.and_then(|name| answer.header(name)) {
        text.push_str(&format!(" (correlation id {id})"));
    }
    text
}

/// How long the provider wants to be left alone: `retry-after-ms`, or `retry-after` in seconds or as a date,
/// which is measured against the answer's own date rather than a clock of ours.
fn retry_after(answer: &RawAnswer) -> Option<Duration> {
    let millis = || {
        answer
            .header("retry-after-ms")?
            .trim()
            .parse()
            .ok()
            .map(Duration::from_millis)
    };
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let until = |text: &str| {
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        let now = DateTime::parse_from_rfc2822(answer.header("date")?).ok()?;
        (until - now).to_std().ok()
    };
    let pause = millis().or_else(|| {
        let text = answer.header("retry-after")?.trim();
        seconds(text).or_else(|| until(text))
    })?;
    Some(pause.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}
