//! What is read before, and what only one at a time may do: tables that would prove nothing are told so.

use bursar::connector::table::Connector;

const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[endpoint.refund]
doc = "Gives back."
method = "POST"
path = "/payments/{payment}/refunds"
effect = "moves_money"
amount = { before = "amount", currency = "currency", unit = "minor_number" }
in_doubt = "lookup"
exclusive = "{before.payment}"
params = [
  { name = "payment", in = "path", doc = "Which." },
  { name = "account", in = "header", wire = "x-account", doc = "For whom." },
]
[endpoint.refund.before]
endpoint = "show"
query = { id = "{sent.payment}", account = "{sent.account}" }
keep = { refunds = "/refunds/*/id", payment = "/id", amount = "/amount", currency = "/currency" }
require = [{ at = "/status", is = ["paid"], else = "it is not paid" }]
[endpoint.refund.lookup]
endpoint = "show"
query = { id = "{before.payment}", account = "{sent.account}" }
items = "/refunds"
match = { fresh = { ids = "{before.refunds}", at = "/id", same = [{ at = "/amount", is = ["{before.amount}"] }] } }
visibility_lag_secs = 120
covers_window = true
[endpoint.show]
doc = "Shows a payment."
method = "GET"
path = "/payments/{id}"
effect = "read"
params = [
  { name = "id", in = "path", doc = "Which." },
  { name = "account", in = "header", wire = "X-Account", doc = "For whom." },
]
"#;

fn told(from: &str, to: &str) -> Vec<String> {
    assert!(TOY.contains(from), "{from}");
    let findings = Connector::parse("connectors/toy.toml", &TOY.replacen(from, to, 1));
    let findings = findings.err().unwrap_or_default().into_iter();
    findings
        .map(|finding| {
            assert!(finding.span.is_some(), "{}", finding.message);
            finding.message
        })
        .collect()
}

#[test]
fn a_table_is_told_what_would_not_be_known_or_not_be_alone() {
    assert_eq!(told("", ""), Vec::<String>::new());
    let before = TOY.split_once("[endpoint.refund.before]").unwrap().1;
    let before = before.split_once("[endpoint.refund.lookup]").unwrap().0;
    let before = format!("[endpoint.refund.before]{before}");
    let cases = [
        (
            "exclusive = \"{before.payment}\"\n",
            "",
            "nobody else does the same meanwhile",
        ),
        (before.as_str(), "", "`payment` is not kept `before`"),
        (before.as_str(), "", "only if it is read (`before`)"),
        (
            "exclusive = \"{before.payment}\"",
            "exclusive = \"{before.paymnt}\"",
            "`paymnt` is not kept `before`",
        ),
        (
            "exclusive = \"{before.payment}\"",
            "exclusive = \"{sent.paymnt}\"",
            "there is no parameter `paymnt`",
        ),
        (
            "exclusive = \"{before.payment}\"",
            "exclusive = \"{window_start}\"",
            "only what was sent is known then",
        ),
        (
            "before = \"amount\", currency",
            "before = \"amont\", currency",
            "`amont` is not kept `before`",
        ),
        (
            ", unit = \"minor_number\"",
            "",
            "does not say how the amount is written",
        ),
        (", currency = \"currency\", unit", ", unit", "and in which currency"),
        (
            "endpoint = \"show\"\nquery = { id = \"{sent",
            "endpoint = \"refund\"\nquery = { id = \"{sent",
            "`refund` is not a read",
        ),
        (
            "endpoint = \"show\"\nquery = { id = \"{sent",
            "endpoint = \"shw\"\nquery = { id = \"{sent",
            "there is no endpoint `shw`",
        ),
        (
            "query = { id = \"{sent.payment}\", account = \"{sent.account}\" }",
            "query = { id = \"{sent.payment}\" }",
            "under the same header",
        ),
        (
            "query = { id = \"{sent.payment}\"",
            "query = { id = \"{before.payment}\"",
            "`payment` is not kept `before`",
        ),
        (
            "query = { id = \"{sent.payment}\"",
            "query = { di = \"{sent.payment}\"",
            "`di`",
        ),
        (
            "query = { id = \"{before.payment}\"",
            "query = { id = \"{before.other}\"",
            "`other` is not kept `before`",
        ),
        ("is = [\"paid\"]", "is = []", "`is` has to say what may stand there"),
        ("payment = \"/id\"", "payment = \"id\"", "`id` is not a pointer"),
        (
            "ids = \"{before.refunds}\"",
            "ids = \"{sent.payment}\"",
            "`ids` are those that were kept `before`",
        ),
        (
            "same = [{ at = \"/amount\", is = [\"{before.amount}\"] }]",
            "same = []",
            "`same` says what ours has to show",
        ),
        (
            "is = [\"{before.amount}\"]",
            "is_sum = [\"{before.amont}\"]",
            "`amont` is not kept `before`",
        ),
        (
            "is = [\"{before.amount}\"]",
            "is = [1], is_sum = [\"{before.amount}\"]",
            "one of them",
        ),
        (
            "effect = \"read\"",
            "effect = \"read\"\nexclusive = \"x\"",
            "nothing that it does alone",
        ),
    ];
    for (from, to, expected) in cases {
        let told = told(from, to);
        assert!(told.iter().any(|told| told.contains(expected)), "{to}: {told:#?}");
    }
}

/// A page that leaves out what is older would make that look new afterwards.
#[test]
fn what_is_read_before_comes_whole() {
    let listed = |style: &str| {
        let list = TOY.replace(
            "method = \"GET\"\npath = \"/payments/{id}\"\n",
            "method = \"GET\"\nlist = \"few\"\npath = \"/payments/{id}\"\n",
        );
        let list = list.replace("items = \"/refunds\"\n", "margin_secs = 1\n");
        let list = list.replace("/refunds/*/id", "/data/*/id");
        let table = format!("{list}[pagination.few]\nitems = \"/data\"\n{style}\n");
        let told = Connector::parse("connectors/toy.toml", &table)
            .err()
            .unwrap_or_default();
        let told = told.into_iter().map(|finding| finding.message);
        told.collect::<Vec<_>>()
    };
    assert_eq!(listed("style = \"whole\""), Vec::<String>::new());
    for style in [
        "style = \"cursor\"\nnext = \"/next\"\ncursor = \"cursor\"",
        "style = \"last_item\"\nid = \"/id\"\nafter = \"after\"",
        "style = \"offset\"\noffset = \"offset\"\nid = \"/id\"",
        "style = \"page\"\npage = { param = \"page\", first = 1 }\nid = \"/id\"",
    ] {
        let told = listed(style);
        assert_eq!(told.len(), 1, "{style}: {told:#?}");
        assert!(told[0].contains("`show` comes in pages"), "{told:#?}");
    }
}
