//! Tables: the shipped ones are whole, and a wrong one is told everything that is wrong with it, and where.

use std::fs;

use bursar::connector::registry::{EMBEDDED, Registry};
use bursar::connector::table::{Connector, Effect, InDoubt, KeyPlace, Stage};
use bursar::engine::primitives::{Module, all};
use bursar::model::diagnostic::Diagnostic;

use super::{bank, endpoint};

/// Every operation the provider documents.
const OPERATIONS: &[&str] = &[
    "list_account_programs",
    "retrieve_account_program",
    "retrieve_account_program_balance",
    "list_accounts",
    "create_account",
    "retrieve_account",
    "retrieve_account_balance",
    "freeze_account",
    "unfreeze_account",
    "close_account",
    "retrieve_api_key",
    "list_api_versions",
    "list_conversions",
    "create_conversion",
    "retrieve_conversion",
    "list_deposits",
    "retrieve_deposit",
    "list_events",
    "retrieve_event",
    "list_payouts",
    "create_payout",
    "retrieve_payout",
    "retrieve_indicative_quote",
    "retrieve_quote",
    "list_returns",
    "create_return",
    "retrieve_return",
    "list_scopes",
    "list_webhook_deliveries",
    "retrieve_webhook_delivery",
    "redeliver_webhook_delivery",
    "list_webhook_subscriptions",
    "create_webhook_subscription",
    "retrieve_webhook_subscription",
    "update_webhook_subscription",
    "delete_webhook_subscription",
    "send_test_event",
];

/// A small right table; cases break it.
const SMALL: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[idempotency]
header = "Idempotency-Key"
max_length = 64
methods = ["POST"]
window_secs = 60
[pagination.cursor]
style = "cursor"
items = "/data"
next = "/next"
cursor = "cursor"
limit = { param = "limit", size = 50 }
[endpoint.pay]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "minor_number" }
our_reference = "note"
in_doubt = "repeat"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "note", doc = "For our reference." },
]
[endpoint.pay.lookup]
endpoint = "list"
query = { since = "{window_start}" }
match = { reference = "/note" }
created_at = "/made"
margin_secs = 1
visibility_lag_secs = 1
covers_window = true
[endpoint.list]
doc = "Lists."
method = "GET"
path = "/pay"
effect = "read"
list = "cursor"
params = [{ name = "since", in = "query", type = "time", doc = "From when." }]
[endpoint.show]
doc = "Shows."
method = "GET"
path = "/pay/{id}"
effect = "read"
params = [{ name = "id", in = "path", doc = "Which." }]
"#;

fn findings(text: &str) -> Vec<Diagnostic> {
    Connector::parse("connectors/toy.toml", text).err().unwrap_or_default()
}

/// The first finding of the small table after a change, as `line:column message (help)`.
fn broken(from: &str, to: &str) -> Vec<String> {
    assert!(SMALL.contains(from), "the small table has no `{from}`");
    let text = SMALL.replacen(from, to, 1);
    let told = findings(&text).into_iter().map(|finding| {
        let kind = if finding.code == "toml" { "toml" } else { "connector" };
        assert_eq!((finding.code, finding.file.as_str()), (kind, "connectors/toy.toml"));
        let at = finding
            .span
            .map_or("-".to_owned(), |span| format!("{}:{}", span.line, span.column));
        let help = finding.help.map_or(String::new(), |help| format!(" ({help})"));
        format!("{at} {}{help}", finding.message)
    });
    told.collect()
}

#[test]
fn the_shipped_tables_are_right_and_whole() {
    for (file, text) in EMBEDDED {
        if let Err(findings) = Connector::parse(file, text) {
            panic!("{findings:#?}");
        }
    }
    let bank = bank();
    let mut known: Vec<&str> = OPERATIONS.to_vec();
    known.sort_unstable();
    let names: Vec<&str> = bank
        .connector
        .endpoints()
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    assert_eq!(names, known);
    let primitives: Vec<&str> = bank.connector.primitives().map(|(name, _)| name).collect();
    assert_eq!(
        primitives,
        [
            "accounts",
            "balance",
            "convert",
            "payout",
            "quote",
            "return_deposit",
            "send_back",
            "transfer"
        ]
    );
    assert_eq!(bank.connector.webhook().unwrap().events.len(), 13);
    assert!(!bank.connector.local);
}

/// What a script may ask of any provider is offered, or it is said why not.
#[test]
fn every_primitive_is_offered_by_each_provider_or_lacking_with_a_reason() {
    for connector in Registry::built_in().iter() {
        for primitive in all().filter(|primitive| primitive.module == Module::Connection) {
            let lacks = connector.lacks.contains_key(primitive.name);
            let (name, offered) = (&connector.name, primitive.offered_by(connector));
            assert!(
                offered != lacks,
                "{name}: {}: offered {offered}, lacking {lacks}",
                primitive.name
            );
        }
    }
}

#[test]
fn only_three_operations_move_money_and_each_can_be_looked_up() {
    let bank = bank();
    let moving: Vec<&str> = bank
        .connector
        .endpoints()
        .filter(|endpoint| endpoint.effect == Effect::MovesMoney)
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    assert_eq!(moving, ["create_conversion", "create_payout", "create_return"]);
    for name in moving {
        let endpoint = endpoint(&bank, name);
        assert_eq!(endpoint.in_doubt, InDoubt::Repeat);
        assert!(endpoint.key.is_made() && endpoint.lookup.as_ref().unwrap().covers_window);
    }
    for endpoint in bank.connector.endpoints() {
        assert_eq!(
            endpoint.key.is_made(),
            endpoint.method.as_str() == "POST",
            "{}",
            endpoint.name
        );
    }
}

#[test]
fn a_connection_may_know_the_keys_window_better() {
    let mut bank = bank();
    let window = |bank: &super::Connection, name| bank.key_window(endpoint(bank, name)).map(|window| window.as_secs());
    assert_eq!(window(&bank, "create_payout"), Some(3600));
    assert_eq!(window(&bank, "list_payouts"), None);
    assert_eq!(window(&bank, "delete_webhook_subscription"), None);
    bank.key_window_secs = Some(86_400);
    assert_eq!(window(&bank, "create_payout"), Some(86_400));
    assert_eq!(window(&bank, "list_payouts"), None);
}

#[test]
fn an_endpoint_may_keep_to_no_key_though_its_method_does() {
    let unkept = SMALL.replacen(r#"path = "/pay""#, "path = \"/pay\"\nkey = \"none\"", 1);
    let told = broken(r#"path = "/pay""#, "path = \"/pay\"\nkey = \"none\"");
    assert!(
        told.iter().any(|told| told.contains("it could happen twice")),
        "{told:?}"
    );
    let looked_up = unkept.replacen(r#"in_doubt = "repeat""#, r#"in_doubt = "lookup""#, 1);
    let toy = Connector::parse("toy.toml", &looked_up).expect("a right table");
    assert_eq!(toy.endpoint("pay").expect("there").key, KeyPlace::None);
}

#[test]
fn a_status_nobody_knows_is_no_end() {
    let bank = bank();
    let payout = bank.connector.resource("payout").unwrap();
    assert_eq!(payout.stage("paid"), Stage::Succeeded);
    assert_eq!(payout.stage("returned"), Stage::Failed);
    assert_eq!(payout.stage("pending"), Stage::Pending);
    assert_eq!(payout.stage("on_its_way"), Stage::Pending);
}

#[test]
fn the_small_table_is_right() {
    assert_eq!(findings(SMALL), []);
}

#[test]
fn a_wrong_table_is_told_where_and_what_to_do() {
    let cases = [
        ("title = \"Toy\"\n", "", "- `title` is missing"),
        (
            "title = \"Toy\"",
            "titel = \"Toy\"",
            "unknown key `titel` (did you mean `title`?)",
        ),
        (
            "name  = \"toy\"",
            "name  = \"To y\"",
            "1:9 a name is made of small letters",
        ),
        (
            "https://api.example.com",
            "http://api.example.com",
            "4:21 `http://api.example.com` is not encrypted",
        ),
        (
            "scheme = \"bearer\"",
            "scheme = \"baerer\"",
            "5:19 unknown value `baerer`",
        ),
        ("effect = \"read\"", "effekt = \"read\"", "42:1 unknown key `effekt`"),
        (
            "[endpoint.pay]\n",
            "[lacks]\nsweeep = \"it cannot\"\n[endpoint.pay]\n",
            "18:10 there is no primitive `sweeep` (did you mean `sweep`?)",
        ),
        (
            "[endpoint.pay]\n",
            "[lacks]\nsweep = \" \"\n[endpoint.pay]\n",
            "18:9 there is no reason",
        ),
        ("effect = \"read\"", "effekt = \"read\"", "(did you mean `effect`?)"),
        ("doc = \"Pays.\"\n", "", "17:1 missing field `doc`"),
        ("doc = \"Pays.\"", "doc = \"\"", "18:7 it is not explained"),
        (
            "amount = { field = \"amount\", currency = \"currency\", unit = \"minor_number\" }\n",
            "",
            "17:11 it moves money and says no `amount`",
        ),
        (
            "field = \"amount\"",
            "field = \"amuont\"",
            "22:1 there is no parameter `amuont` (did you mean `amount`?)",
        ),
        (
            "unit = \"minor_number\"",
            "unit = \"cents\"",
            "22:10 expected \"whole\", { before",
        ),
        (
            "type = \"decimal\", required = true",
            "required = true",
            "`amount` has to be of type \"decimal\"",
        ),
        (
            "type = \"decimal\", required = true",
            "type = \"decimal\"",
            "`amount` has to be required",
        ),
        (
            "our_reference = \"note\"",
            "our_reference = \"note.x\"",
            "23:17 our reference fits",
        ),
        (
            "methods = [\"POST\"]",
            "methods = [\"PUT\"]",
            "24:12 it cannot be repeated",
        ),
        ("in_doubt = \"repeat\"", "in_doubt = \"park\"", "it parks at once"),
        ("our_reference = \"note\"\n", "", "it is never sent our reference"),
        (
            "endpoint = \"list\"",
            "endpoint = \"lst\"",
            "31:12 there is no endpoint `lst` (did you mean `list`?)",
        ),
        (
            "endpoint = \"list\"",
            "endpoint = \"show\"",
            "31:12 `show` is not a read that lists",
        ),
        ("query = { since", "query = { sinse", "(did you mean `since`?)"),
        ("{window_start}", "{first_sent}", "`{first_sent}` cannot be filled in"),
        (
            "reference = \"/note\"",
            "reference = \"note\"",
            "`note` is not a pointer (a pointer begins with a slash",
        ),
        (
            "path = \"/pay/{id}\"",
            "path = \"/pay/{key}\"",
            "`{key}` has no parameter with in = \"path\"",
        ),
        ("path = \"/pay/{id}\"", "path = \"/pay\"", "the path has no `{id}`"),
        (
            "{ name = \"note\"",
            "{ name = \"currency\"",
            "28:3 `currency` is described twice",
        ),
        ("name = \"since\"", "name = \"limit\"", "`limit` is described twice"),
        (
            "{ name = \"since\"",
            "{ name = \"made.since\"",
            "is not a word a script could write",
        ),
        (
            "in = \"query\", type = \"time\"",
            "type = \"time\"",
            "is in the body, which GET has none of",
        ),
        ("list = \"cursor\"", "", "`list` is not a read that lists"),
        (
            "method = \"POST\"\npath = \"/pay\"",
            "method = \"GET\"\npath = \"/pay\"",
            "GET changes nothing",
        ),
        (
            "window_secs = 60",
            "window_secs = 0",
            "10:15 a key that protects for no time is none",
        ),
        ("items = \"/data\"", "items = \"data\"", "13:9 `data` is not a pointer"),
        (
            "list = \"cursor\"",
            "list = \"cusror\"",
            "43:8 there is no pagination `cusror` (did you mean `cursor`?)",
        ),
        (
            "style = \"cursor\"",
            "style = \"curser\"",
            "12:9 unknown value `curser` (did you mean `cursor`?)",
        ),
        (
            "next = \"/next\"\n",
            "",
            "11:13 a list of style `cursor` needs `next`: where the cursor of the next page stands",
        ),
        (
            "style = \"cursor\"",
            "style = \"whole\"",
            "15:10 a list of style `whole` has no `cursor`",
        ),
        (
            "cursor = \"cursor\"\n",
            "cursor = 7\n",
            "15:10 expected the name of a parameter, or { param, wire }",
        ),
        ("size = 50", "size = ", "16:"),
    ];
    let mut wrong = Vec::new();
    for (from, to, expected) in cases {
        let told = broken(from, to);
        if !told.iter().any(|finding| finding.contains(expected)) {
            wrong.push(format!(
                "`{from}` as `{to}` should tell: {expected}\nit tells: {told:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_wrong_sections_are_told_at_once() {
    let text = SMALL
        .replace("effect = \"moves_money\"", "effect = \"steals_money\"")
        .replace("list = \"cursor\"", "list = 1")
        .replace("max_length = 64", "max_length = \"long\"");
    let lines: Vec<usize> = findings(&text)
        .iter()
        .map(|finding| finding.span.unwrap().line)
        .collect();
    assert_eq!(lines, [8, 21, 43]);
}

#[test]
fn maps_of_primitives_and_resources_lead_somewhere() {
    let cases = [
        (
            "[primitive.payuot]\nendpoint = \"pay\"",
            "there is no primitive `payuot` (did you mean `payout`?)",
        ),
        ("[primitive.payout]\nendpoint = \"list\"", "`list` has the effect read"),
        (
            "[primitive.payout]\nendpoint = \"pay\"\nargs = { amount = \"amont\" }",
            "(did you mean `amount`?)",
        ),
        (
            "[primitive.payout]\nendpoint = \"pay\"\nargs = { amount = \"amount\" }",
            "`args` has no parameter for `to`, which `payout` always says",
        ),
        (
            "[primitive.payout]\nendpoint = \"pay\"\nresource = \"payout\"",
            "there is no resource `payout`",
        ),
        (
            "[primitive.refund]\nendpoint = \"pay\"\nargs = { payment = \"note\", amount = \"amount\" }",
            "`original` is missing: nobody would see how much is left",
        ),
        (
            "[primitive.refund]\nendpoint = \"pay\"\noriginal = { endpoint = \"shw\", id = \"id\", amount = \"/amount\" }",
            "there is no endpoint `shw` (did you mean `show`?)",
        ),
        (
            "[primitive.cancel]\nendpoint = \"pay\"\nargs = { resource = \"note\" }",
            "`resource` is missing: what it calls off",
        ),
        (
            "[lacks]\nquote = \"there is one currency\"\n[primitive.quote]\nendpoint = \"list\"",
            "`quote` is offered: there is [primitive.quote]",
        ),
        (
            "[primitive.payout]\nendpoint = \"pay\"\nminimum = \"ten\"",
            "`ten` is not an amount",
        ),
        (
            "[resource.payout]\nretrieve = \"list\"\nid = \"/id\"\nstatus = \"/s\"\npending = []\nsucceeded = []\nfailed = []\nevents = []",
            "`list` is not a read of one id",
        ),
        (
            "[resource.payout]\nretrieve = \"show\"\nid = \"/id\"\nstatus = \"/s\"\npending = [\"x\"]\nsucceeded = [\"x\"]\nfailed = []\nevents = []",
            "the status `x` is named twice",
        ),
        (
            "[resource.payout]\nretrieve = \"show\"\nid = \"/id\"\nstatus = \"/s\"\npending = []\nsucceeded = []\nfailed = []\nevents = [\"e\"]",
            "there is no event `e`",
        ),
        (
            "[[errors.class]]\nstatus = 200\nclass = \"failed\"\ndoc = \"x\"",
            "200 is not a status of a refused call",
        ),
        (
            "[backfill]\nendpoint = \"show\"\nsince = \"since\"\nwindow_days = 1\nenvelope = { id = \"/a\", type = \"/b\", payload = \"/c\" }",
            "`show` is not a read that lists",
        ),
    ];
    for (more, expected) in cases {
        let told: Vec<String> = findings(&format!("{SMALL}{more}\n"))
            .into_iter()
            .map(|finding| format!("{} ({})", finding.message, finding.help.unwrap_or_default()))
            .collect();
        assert!(
            told.iter().any(|finding| finding.contains(expected)),
            "{more}\nshould tell: {expected}\n{told:#?}"
        );
    }
}

#[test]
fn a_folder_of_the_users_adds_connectors_and_spoils_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("toy.toml", SMALL);
    write("misnamed.toml", SMALL);
    write("augustus.toml", EMBEDDED[0].1);
    write("broken.toml", "name = ");
    write("notes.txt", "not a table");
    let (registry, wrong) = Registry::with_local(folder.path());
    let names: Vec<&str> = registry.names().collect();
    let built_in = EMBEDDED.iter().filter_map(|(file, _)| file.strip_suffix(".toml"));
    let mut expected: Vec<&str> = built_in.chain(["toy"]).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(registry.get("toy").unwrap().local);
    assert!(!registry.get("augustus").unwrap().local);
    let mut files: Vec<&str> = wrong.iter().map(|finding| finding.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    assert_eq!(
        files,
        [
            "connectors/augustus.toml",
            "connectors/broken.toml",
            "connectors/misnamed.toml"
        ]
    );
    let (registry, wrong) = Registry::with_local(&folder.path().join("nowhere"));
    assert_eq!((registry.iter().count(), wrong), (EMBEDDED.len(), Vec::new()));
}

#[test]
fn calls_for_subscriptions_have_to_be_there_and_do_what_they_are_for() {
    let (_, text) = EMBEDDED[0];
    for (from, to, expected) in [
        (
            "list         = \"list_webhook",
            "list         = \"lst_webhook",
            "`lst_webhook_subscriptions`",
        ),
        (
            "\"create_webhook_subscription\"\nupdate",
            "\"create_payout\"\nupdate",
            "`create_payout` is not a write",
        ),
        (
            "\"list_webhook_subscriptions\"\ncreate",
            "\"send_test_event\"\ncreate",
            "`send_test_event` is not a read",
        ),
        (
            "test         = \"send_test_event\"",
            "test         = \"create_webhook_subscription\"",
            "`id`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let found = findings(&text.replacen(from, to, 1));
        assert!(
            found.iter().any(|finding| finding.message.contains(expected)),
            "{to}: {found:#?}"
        );
    }
}

/// What is wrong with webhooks and a resource that say so, told in one line each.
fn heard_wrong(event: &str, resource: &str) -> Vec<String> {
    let text = format!(
        r#"{SMALL}
[webhook]
signature = {{ scheme = "standard_webhooks" }}
envelope = {{ type = "/type", payload = "/data" }}
[[webhook.event]]
name = "pay_updated"
doc = "It changed."
resource = "pay"
[[webhook.event]]
name = "pay.done"
doc = "It is done."
of = "pay_updated"
status = ["done"]
{event}
[resource.pay]
retrieve = "show"
id = "/id"
status = "/status"
pending = ["new"]
succeeded = ["done"]
failed = ["lost"]
{resource}
"#
    );
    findings(&text).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn an_event_that_is_made_of_another_says_which_and_what_tells_it() {
    let resource = "rank = [[\"new\"], [\"done\", \"lost\"]]\nevents = [\"pay.done\"]";
    assert_eq!(heard_wrong("", resource), Vec::<String>::new());
    for (event, expected) in [
        (
            "of = \"pay_updatd\"\nstatus = [\"lost\"]",
            "there is no event `pay_updatd`",
        ),
        (
            "of = \"pay.done\"\nstatus = [\"lost\"]",
            "`pay.done` is not what the provider calls an event",
        ),
        (
            "of = \"pay_updated\"",
            "`status` has to tell it from the other events `pay_updated`",
        ),
        ("of = \"pay_updated\"\nstatus = [\"lots\"]", "there is no status `lots`"),
        (
            "of = \"pay_updated\"\nstatus = [\"done\"]",
            "`done` is told by `pay.done` too",
        ),
        (
            "of = \"pay_updated\"\nstatus = [\"new\", \"lost\"]",
            "its statuses stand at different places of `rank`",
        ),
        (
            "status = [\"lost\"]",
            "`status` of what? `resource` has to say it, here or at the event it is made of",
        ),
        (
            "resource = \"pays\"\nstatus = [\"lost\"]",
            "there is no resource `pays`",
        ),
    ] {
        let event = format!("[[webhook.event]]\nname = \"pay.x\"\ndoc = \"It is so.\"\n{event}");
        let told = heard_wrong(&event, resource);
        assert!(told.iter().any(|told| told == expected), "{event}: {told:?}");
    }
    for (resource, expected) in [
        (
            "events = [\"pay_updated\"]",
            "`pay_updated` tells of an end under other names: pay.done",
        ),
        ("rank = [[\"nwe\"]]\nevents = []", "there is no status `nwe`"),
        ("rank = [[\"new\"], [\"new\"]]\nevents = []", "`new` has two places"),
    ] {
        let told = heard_wrong("", resource);
        assert!(told.iter().any(|told| told == expected), "{resource}: {told:?}");
    }
}
