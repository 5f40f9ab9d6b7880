//! Primitives that read positions: accounts and balances.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::{Always, PrimitiveMap, Unit};
use crate::connector::{times, units};
use crate::engine::reserve::InFlight;
use crate::engine::turn::{Turn, fail};
use crate::model::treasury::RuleError;
use crate::model::treasury::position::Position;
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Connection,
        name: "accounts",
        kind: Kind::Step,
        params: &[
            ("#currency?", "only accounts of this currency"),
            ("status?", "only accounts in this status, such as \"active\""),
            ("label?", "only the account with this label"),
        ],
        result: "list of accounts: `id`, `label`, `currency`, `status` and all the provider tells",
        doc: "The accounts of the connection.",
        example: "for account in bank::accounts(#{ currency: \"EUR\" }) { log::info(account.label); }",
        needs: &["accounts"],
        body: Body::Connection(|turn, connection, args| accounts(turn, connection, args).map(Value::List)),
    },
    Primitive {
        module: Module::Connection,
        name: "balance",
        kind: Kind::Step,
        params: &[("account", "the account's id")],
        result: "money",
        doc: "What is available on an account.",
        example: "let available = bank::balance(\"acc_1\");",
        needs: &["balance"],
        body: Body::Connection(|turn, connection, args| {
            let account = super::data::text(args, 0, "balance", "an account id")?;
            balance(turn, connection, account).map(Value::Money)
        }),
    },
    Primitive {
        module: Module::Connection,
        name: "position",
        kind: Kind::Step,
        params: &[("account", "the account's id")],
        result: "map: `account`, `available` (money, what can be moved), `pending` (money on its way in or out that `available` does not \
                 count), `booked` (money, what the books of the provider show), `value_dated` (money with value today), `as_of` (a time); \
                 each () where the provider does not tell",
        doc: "What is on an account, as far apart as the provider tells it; nothing of it is computed here.",
        example: "let held = bank::position(\"acc_1\"); log::info(`${held.available}, pending ${held.pending}`);",
        needs: &["balance"],
        body: Body::Connection(|turn, connection, args| {
            let account = super::data::text(args, 0, "position", "an account id")?;
            let told = holding(turn, connection, account)?.told();
            let own = [("account".to_owned(), Value::text(account))];
            Ok(Value::Map(own.into_iter().chain(told).collect()))
        }),
    },
    Primitive {
        module: Module::Connection,
        name: "balances",
        kind: Kind::Step,
        params: &[
            ("#currency?", "only accounts of this currency"),
            ("status?", "only accounts in this status"),
            ("label?", "only the account with this label"),
        ],
        result: "list of maps: `account`, `label`, `balance` (what is available), and `pending`, `booked`, `value_dated`, `as_of` as `position` \
                 tells them",
        doc: "What is available on each account. Not one moment in time: the accounts are read one after the other.",
        example: "for position in bank::balances() { log::info(`${position.label}: ${position.balance}`); }",
        needs: &["accounts", "balance"],
        body: Body::Connection(balances),
    },
];

/// What a table says about a primitive that `needs` names.
pub(super) fn mapping<'a>(connection: &'a Connection, name: &str) -> Result<&'a PrimitiveMap, Thrown> {
    let missing = || {
        fail(
            "unsupported",
            format!("connection `{}` does not offer `{name}`", connection.name),
        )
    };
    connection.connector.primitive(name).ok_or_else(missing)
}

/// What a script said, in the words of the provider. What the provider has no word for is refused: left out, the money
/// would travel by another rail than the script names. What the provider cannot do without has to be said.
pub(super) fn in_words_of<const N: usize>(
    connection: &Connection,
    map: &PrimitiveMap,
    primitive: &str,
    said: [(&str, Option<Value>); N],
) -> Result<Map, Thrown> {
    let mut request = always_said(connection, map)?;
    let endpoint = connection.connector.endpoint(&map.endpoint);
    let is_needed = |param: &String| {
        endpoint
            .and_then(|endpoint| endpoint.param(param))
            .is_some_and(|param| param.required)
    };
    for (word, value) in said {
        match (map.args.get(word), value) {
            (Some(param), Some(value)) => {
                request.insert(param.clone(), value);
            }
            (Some(param), None) if is_needed(param) => {
                return Err(invalid(format!("`{primitive}` needs `{word}`")));
            }
            (_, None) => {}
            (None, Some(_)) => {
                return Err(invalid(format!(
                    "`{primitive}` of connection `{}` cannot be told `{word}`: {} has nothing like it",
                    connection.name, connection.connector.title
                )));
            }
        }
    }
    Ok(request)
}

/// What the table has a primitive always say, but the time of the step.
fn always_said(connection: &Connection, map: &PrimitiveMap) -> Result<Map, Thrown> {
    let mut request = Map::new();
    for (param, written) in &map.set {
        let text = match Always::of(written) {
            Always::Text(text) => text,
            Always::Setting(setting) => connection.setting(setting).ok_or_else(|| {
                invalid(format!(
                    "connection `{}` has to say `{setting}`, under [connection.{0}.settings]",
                    connection.name
                ))
            })?,
            Always::Now => continue,
        };
        request.insert(param.clone(), Value::text(text));
    }
    Ok(request)
}

/// A field of a resource, by the generic name the table maps.
pub(super) fn field<'a>(map: &PrimitiveMap, generic: &str, resource: &'a Value) -> Option<&'a Value> {
    resource.pointer(map.fields.get(generic)?)
}

pub(super) fn accounts(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Vec<Value>, Thrown> {
    let none = Value::Map(Map::new());
    let args = Args::new(
        "accounts",
        args.first().unwrap_or(&none),
        &["currency", "status", "label"],
    )?;
    let map = mapping(connection, "accounts")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let mut query = always_said(connection, map)?;
    let mut wanted = Vec::new();
    for generic in ["currency", "status", "label"] {
        let Some(value) = args.text(generic)? else { continue };
        wanted.push((generic, value));
        // What the provider can filter, it filters; everything is compared here again.
        if let Some(param) = endpoint.params.iter().find(|param| {
            param.name == generic && (param.values.is_empty() || param.values.iter().any(|known| known == value))
        }) {
            query.insert(param.name.clone(), Value::text(value));
        }
    }
    let mut found = Vec::new();
    let listed = calls::list(turn, connection, endpoint, query)?;
    for account in those_meant(map, listed)? {
        let Value::Map(mut entries) = account.clone() else {
            continue;
        };
        for (generic, text) in &map.always {
            entries.insert(generic.clone(), Value::text(text));
        }
        for generic in map.fields.keys() {
            if let Some(value) = field(map, generic, &account) {
                entries.insert(generic.clone(), value.clone());
            }
        }
        let account = Value::Map(entries);
        if wanted
            .iter()
            .all(|(generic, value)| account.get(generic).and_then(Value::as_text) == Some(value))
        {
            found.push(account);
        }
    }
    Ok(found)
}

/// The items of a list, or what each of them has: one without such a list is not readable, as nothing may be left out.
fn those_meant(map: &PrimitiveMap, listed: Vec<Value>) -> Result<Vec<Value>, Thrown> {
    let Some(each) = &map.each else { return Ok(listed) };
    let mut meant = Vec::new();
    for item in listed {
        let inner = item.pointer(each).and_then(Value::as_list);
        let inner = inner.ok_or_else(|| fail("unreadable_answer", format!("there is no list {each} in {item}")))?;
        meant.extend(inner.iter().cloned());
    }
    Ok(meant)
}

/// What is on an account, as the provider tells it.
struct Holding {
    available: Money,
    pending: Option<Money>,
    booked: Option<Money>,
    value_dated: Option<Money>,
    as_of: Option<Instant>,
}

impl Holding {
    /// Under the words that scripts read.
    fn told(&self) -> [(String, Value); 5] {
        let money = |amount: Option<Money>| amount.map_or(Value::Null, Value::Money);
        [
            ("available", Value::Money(self.available)),
            ("pending", money(self.pending)),
            ("booked", money(self.booked)),
            ("value_dated", money(self.value_dated)),
            ("as_of", self.as_of.map_or(Value::Null, Value::Time)),
        ]
        .map(|(word, value)| (word.to_owned(), value))
    }
}

/// Reads what is on an account. What is not told is unknown; what is told and is no amount is told to be unreadable.
fn holding(turn: &Turn, connection: &Arc<Connection>, account: &str) -> Result<Holding, Thrown> {
    let map = mapping(connection, "balance")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let param = map.args.get("account").cloned().unwrap_or_else(|| "id".to_owned());
    let answer = turn.call(connection, endpoint, &[(param, Value::text(account))].into())?;
    let unreadable = |what: &str| {
        let message = format!("the {what} of account {account} is not a readable amount: {answer}");
        fail("unreadable_answer", message)
    };
    let available = money_at(connection, map, &answer).ok_or_else(|| unreadable("balance"))?;
    let beside = |word: &str| {
        let told = field(map, word, &answer).filter(|told| !told.is_null());
        let read = |told| amount_in(connection, map, told, available.currency()).ok_or_else(|| unreadable(word));
        told.map(read).transpose()
    };
    Ok(Holding {
        available,
        pending: beside("pending")?,
        booked: beside("booked")?,
        value_dated: beside("value_dated")?,
        as_of: field(map, "as_of", &answer).and_then(|told| times::read(map.times, told)),
    })
}

/// What is available on an account.
fn balance(turn: &Turn, connection: &Arc<Connection>, account: &str) -> Result<Money, Thrown> {
    holding(turn, connection, account).map(|held| held.available)
}

/// An account as a decision sees it: its balance, and what of ours is on its way and the balance may not show.
pub(super) struct Stand {
    pub(super) account: String,
    times: u64,
    /// What the provider calls available.
    pub(super) available: Money,
    /// What of it has value today, where the provider tells.
    pub(super) value_dated: Option<Money>,
    /// What leaves it.
    pub(super) leaving: Option<Money>,
    /// What comes to it.
    pub(super) arriving: Option<Money>,
}

impl Stand {
    /// The account, with how often something was begun on it before it was read.
    pub(super) fn seen(&self) -> (String, u64) {
        (self.account.clone(), self.times)
    }

    /// What can be moved: less than zero where more is on its way than there is.
    pub(super) fn usable(&self) -> Result<Money, RuleError> {
        let position = Position {
            value_dated: self.value_dated,
            leaving: self.leaving,
            ..Position::new(self.available)
        };
        position.usable()
    }
}

/// Reads an account to decide by. What is on its way is read first: what ends in between is taken off although the
/// balance shows it, which moves too little and not twice.
pub(super) fn stand(turn: &Turn, connection: &Arc<Connection>, account: &str) -> Result<Stand, Thrown> {
    let open = turn.in_flight(connection, account, false)?;
    let held = holding(turn, connection, account)?;
    standing(account, &open, &held)
}

/// The same of an account that is to be filled up if it is short: if so, what the provider has taken for it and not said to
/// have arrived counts as arriving, and the balance is read once more after that was asked.
pub(super) fn stand_to_fill(
    turn: &Turn,
    connection: &Arc<Connection>,
    account: &str,
    is_short: impl FnOnce(&Stand) -> Result<bool, Thrown>,
) -> Result<Stand, Thrown> {
    let open = turn.in_flight(connection, account, true)?;
    let held = holding(turn, connection, account)?;
    let stand = standing(account, &open, &held)?;
    if !open.has_accepted || !is_short(&stand)? {
        return Ok(stand);
    }
    let arriving = turn.not_arrived(connection, account)?;
    let now = InFlight {
        times: open.times,
        arriving,
        ..turn.in_flight(connection, account, false)?
    };
    let held = holding(turn, connection, account)?;
    standing(account, &now, &held)
}

fn standing(account: &str, open: &InFlight, held: &Holding) -> Result<Stand, Thrown> {
    let available = held.available;
    let unknown = || {
        let message = format!(
            "how much is on its way out of account {account} is not known, so nothing is moved: find out what became of it first"
        );
        fail("in_flight_unknown", message)
    };
    let zero = Money::zero(available.currency());
    let mut leaving = zero;
    for amount in &open.leaving {
        leaving = amount
            .and_then(|amount| leaving.checked_add(amount).ok())
            .ok_or_else(unknown)?;
    }
    let mut arriving = zero;
    // What comes in another currency is sold on the way: how much it will be is not known.
    for amount in open
        .arriving
        .iter()
        .filter(|amount| amount.currency() == zero.currency())
    {
        arriving = arriving
            .checked_add(*amount)
            .map_err(|error| invalid(error.to_string()))?;
    }
    Ok(Stand {
        account: account.to_owned(),
        times: open.times,
        available,
        value_dated: held.value_dated,
        leaving: Some(leaving).filter(|amount| !amount.is_zero()),
        arriving: Some(arriving).filter(|amount| !amount.is_zero()),
    })
}

/// An amount from a resource: in the unit of the table in one field, the currency in another, or always the same.
pub(super) fn money_at(connection: &Connection, map: &PrimitiveMap, resource: &Value) -> Option<Money> {
    let currency: Currency = match map.fields.get("currency") {
        Some(pointer) => resource.pointer(pointer)?.as_text()?.parse().ok()?,
        None => connection.connector.money.currency?,
    };
    amount_in(connection, map, field(map, "amount", resource)?, currency)
}

/// An amount that a primitive's map leads to.
pub(super) fn amount_in(
    connection: &Connection,
    map: &PrimitiveMap,
    amount: &Value,
    currency: Currency,
) -> Option<Money> {
    let table = &connection.connector.money;
    let unit = map.unit.or(table.unit).unwrap_or(Unit::DecimalText);
    units::read(table, unit, amount, currency)
}

fn balances(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let input = Value::List(args.to_vec()).typed_text();
    let name = format!("{}.balances", connection.name);
    turn.group(&name, &input, || {
        let mut positions = Vec::new();
        for account in accounts(turn, connection, args)? {
            let id = account.get("id").and_then(Value::as_text);
            let id = id.ok_or_else(|| invalid("an account without an id cannot have a balance"))?;
            let told = holding(turn, connection, id)?.told();
            let own = [
                ("account".to_owned(), Value::text(id)),
                ("label".to_owned(), account.get("label").cloned().unwrap_or_default()),
            ];
            let told = told.into_iter().map(|(word, value)| match word.as_str() {
                "available" => ("balance".to_owned(), value),
                _ => (word, value),
            });
            positions.push(Value::Map(own.into_iter().chain(told).collect()));
        }
        Ok(Value::List(positions))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::connection::Pace;
    use crate::connector::registry::EMBEDDED;
    use crate::connector::table::Connector;

    fn connection(text: &str) -> Connection {
        Connection {
            name: "bank".to_owned(),
            connector: Arc::new(Connector::parse("x.toml", text).expect("a right table")),
            base_url: "http://127.0.0.1:1".to_owned(),
            credential: None,
            webhook_secrets: Vec::new(),
            webhook_senders: Vec::new(),
            settings: std::collections::BTreeMap::new(),
            headers: std::collections::BTreeMap::new(),
            key_window_secs: None,
            pace: Pace::default(),
        }
    }

    #[test]
    fn what_a_table_always_says_is_said_beside_what_the_script_says() {
        let (_, text) = EMBEDDED[0];
        let from = r#", rail = "rail", metadata = "metadata" }"#;
        let text = text.replacen(from, " }\nset = { rail = \"sepa\" }", 1);
        let connection = connection(&text);
        let map = mapping(&connection, "payout").expect("there");
        let said = in_words_of(&connection, map, "payout", [("to", Some(Value::text("acc_2")))]).expect("known");
        let both = [("destination", "acc_2"), ("rail", "sepa")];
        assert_eq!(
            said,
            both.map(|(name, text)| (name.to_owned(), Value::text(text))).into()
        );
    }

    #[test]
    fn what_each_item_has_is_meant_and_none_is_left_out() {
        let map = PrimitiveMap {
            each: Some("/accounts".to_owned()),
            ..mapping(&connection(EMBEDDED[0].1), "accounts").expect("there").clone()
        };
        let holder = |codes: &[&str]| {
            let codes = codes.iter().map(|code| Value::text(*code)).collect();
            Value::map([("accounts", Value::List(codes))])
        };
        let meant = those_meant(&map, vec![holder(&["a", "b"]), holder(&[]), holder(&["c"])]).expect("readable");
        assert_eq!(meant, ["a", "b", "c"].map(Value::text));
        let unreadable = those_meant(&map, vec![holder(&["a"]), Value::map([("code", Value::text("h"))])]);
        assert!(
            format!("{unreadable:?}").contains("unreadable_answer"),
            "{unreadable:?}"
        );
    }

    #[test]
    fn what_the_provider_has_no_word_for_is_refused_rather_than_left_out() {
        let (_, text) = EMBEDDED[0];
        let text = text.replacen(r#", rail = "rail", metadata = "metadata" }"#, " }", 1);
        let connection = connection(&text);
        let map = mapping(&connection, "payout").expect("there");
        let told = |said| in_words_of(&connection, map, "payout", said);
        let known = told([("to", Some(Value::text("acc_2"))), ("rail", None)]).expect("all known");
        assert_eq!(known, [("destination".to_owned(), Value::text("acc_2"))].into());
        let rail = Some(Value::text("sepa_instant"));
        let refused = told([("to", Some(Value::text("acc_2"))), ("rail", rail)]);
        let message = format!("{:?}", refused.expect_err("it would travel by another rail"));
        assert!(message.contains("cannot be told `rail`"), "{message}");
    }
}
