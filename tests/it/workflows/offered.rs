//! What a provider cannot do, or needs, is said where it is written: at the check, not when a run has come to it.

use std::sync::Arc;

use bursar::connector::registry::Registry;
use bursar::engine::primitives::surface;
use bursar::model::workflow::Source;
use bursar::script::check;

use super::connections;

/// What the check says of a script that has one connection, `bank`, at this provider.
fn told(connector: &str, script: &str) -> Vec<String> {
    let built_in = Registry::built_in();
    let mut connection = connections().remove("bank").expect("there");
    Arc::get_mut(&mut connection).expect("its own").connector = built_in.get(connector).expect("built in").clone();
    let world = [("bank".to_owned(), connection)].into();
    let source = Source {
        path: "main.rhai".to_owned(),
        text: script.to_owned(),
    };
    let findings = check(&[source], &surface(&world, &built_in, &["bank".to_owned()]));
    findings
        .iter()
        .map(|finding| {
            // With what to do instead.
            let advice = finding.label.iter().chain(&finding.help);
            assert!(advice.count() > 0 || finding.code == "missing-argument", "{finding:?}");
            format!("{}: {}", finding.code, finding.message)
        })
        .collect()
}

#[track_caller]
fn refused(connector: &str, script: &str, expected: &str) {
    assert_eq!(told(connector, script), [expected], "{connector}: {script}");
}

#[track_caller]
fn passes(connector: &str, script: &str) {
    assert_eq!(told(connector, script), Vec::<String>::new(), "{connector}: {script}");
}

#[test]
fn what_a_part_is_booked_as_is_said_only_where_parts_are_booked() {
    let split = |part: &str| {
        format!("bank::split(#{{ from: \"a\", total: EUR(1), reference: \"S-1\", parts: [#{{ {part} }}] }});")
    };
    let labelled = split("name: \"x\", to: \"b\", rest: true, label: \"FEE\"");
    let message = "unsupported: `parts` of `split` of this connection cannot be told `label`";
    refused("augustus", &labelled, message);
    let by_one_call = |part: &str| {
        format!(
            "bank::split(#{{ payment: \"p\", processor: \"psp\", total: EUR(1), reference: \"S-1\", parts: [#{{ {part} }}] }});"
        )
    };
    passes(
        "payaut",
        &by_one_call("name: \"x\", to: \"b\", rest: true, label: \"ITEM\""),
    );
    let without = "bank::split(#{ payment: \"p\", total: USD(1), parts: [#{ name: \"x\", to: \"b\", rest: true, label: \"L\" }], reference: \"r\" });";
    assert!(
        told("payments", without).contains(&message.to_owned()),
        "{:?}",
        told("payments", without)
    );
    refused(
        "augustus",
        &split("name: \"x\", to: \"b\", rset: true"),
        "unknown-argument: `parts` of `split` does not take `rset`",
    );
}

#[test]
fn a_chain_is_named_by_its_account_where_nobody_lists_the_accounts() {
    let convert = |via: &str| format!("bank::convert(#{{ from: \"a\", to: \"b\", amount: USDC(100), via: {via} }});");
    refused(
        "ivy",
        &convert("\"USD\""),
        "unsupported: `via` of `convert` cannot be a currency on this connection",
    );
    passes("ivy", &convert("\"acc_usd\""));
    passes("ivy", &convert("params.via"));
    passes("augustus", &convert("\"USD\""));
}

#[test]
fn whom_a_provider_pays_is_said_in_its_way() {
    let payout = |to: &str| format!("bank::payout(#{{ from: \"a\", to: {to}, amount: EUR(1), reference: \"R\" }});");
    let anywhere = |to: &str| format!("bank::payout(#{{ to: {to}, amount: EUR(1), reference: \"R\" }});");
    let iban = "#{ type: \"iban\", iban: \"DE89370400440532013000\", account_holder_name: \"A\" }";
    refused(
        "payaut",
        &payout(iban),
        "unsupported: `to` of `payout` cannot be a map on this connection",
    );
    passes("payaut", &payout("\"EXT-1\""));
    refused(
        "ivy",
        &anywhere("\"acc_2\""),
        "unsupported: `to` of `payout` cannot be text on this connection",
    );
    refused(
        "ivy",
        &anywhere("`acc_${1}`"),
        "unsupported: `to` of `payout` cannot be text on this connection",
    );
    passes("ivy", &anywhere(iban));
    passes("ivy", &anywhere("event.payload.to"));
    passes("ivy", &anywhere("if true { \"acc\" } else { params.to }"));
    for to in ["\"acc_2\"", iban] {
        passes("augustus", &payout(to));
    }
    refused(
        "augustus",
        &payout("12"),
        "unsupported: `to` of `payout` cannot be a number on this connection",
    );
    let sweep = |to: &str| format!("bank::sweep(#{{ from: [\"a\"], to: {to}, keep: EUR(1), reference: \"R\" }});");
    // An account of ours is paid by a transfer.
    passes("payaut", &sweep("\"VA-1\""));
    refused(
        "payaut",
        &sweep(iban),
        "unsupported: `to` of `sweep` cannot be a map on this connection",
    );
    let transfer = format!("bank::transfer(#{{ from: \"a\", to: {iban}, amount: EUR(1), reference: \"R\" }});");
    refused(
        "augustus",
        &transfer,
        "unsupported: `to` of `transfer` cannot be a map on this connection",
    );
    refused(
        "augustus",
        "bank::send_back(#{ deposit: \"d\", to: \"acc_2\", reference: \"R\" });",
        "unsupported: `to` of `send_back` cannot be text on this connection",
    );
    let split = "bank::split(#{ total: EUR(1), reference: \"S\", parts: [#{ name: \"x\", to: \"b\", rest: true }] });";
    refused(
        "ivy",
        split,
        "unsupported: `to` of `parts` of `split` cannot be text on this connection",
    );
}

#[test]
fn what_cannot_be_called_off_is_told() {
    let payout = "bank::payout(#{ to: #{ type: \"iban\", iban: \"DE89\", account_holder_name: \"A\" }, amount: EUR(1), reference: \"R\" })";
    let order = "bank::order(#{ amount: EUR(1), reference: \"R\" })";
    let of_payout = "unsupported: `resource` of `cancel` cannot be a payout on this connection";
    refused("ivy", &format!("bank::cancel({payout});"), of_payout);
    refused(
        "ivy",
        "bank::cancel(#{ resource: \"payout\", id: \"po_1\" });",
        of_payout,
    );
    refused(
        "ivy",
        "bank::cancel(\"po_1\");",
        "unsupported: `resource` of `cancel` cannot be text on this connection",
    );
    refused("ivy", &format!("let sent = {payout};\nbank::cancel(sent);"), of_payout);
    for changed in [
        "sent = event.payload;",
        "sent.resource = params.kind;",
        "sent.mixin(event.payload);",
        "mixin(sent, event.payload);",
        "[1].for_each(|n| { sent = event.payload; });",
    ] {
        passes("ivy", &format!("let sent = {payout};\n{changed}\nbank::cancel(sent);"));
    }
    let elsewhere =
        format!("fn f(sent) {{ bank::cancel(sent); }}\nlet sent = {payout};\nf(params.order);\nlog::info(sent.id);");
    passes("ivy", &elsewhere);
    let twice = format!(
        "if params.now {{ let sent = {payout}; log::info(sent.id); }}\nlet sent = {order}; bank::cancel(sent);"
    );
    passes("ivy", &twice);
    passes("ivy", &format!("bank::cancel({order});"));
    passes("ivy", "bank::cancel(#{ resource: \"order\", id: \"o_1\" });");
    passes("ivy", "bank::cancel(#{ resource: params.kind, id: \"o_1\" });");
    passes("ivy", "let order = event.payload; bank::cancel(order);");
    passes("payaut", "bank::cancel(#{ resource: \"payout\", id: \"po_1\" });");
}

#[test]
fn what_a_return_is_told_is_what_the_provider_takes() {
    refused(
        "augustus",
        "bank::return_deposit(\"d\", #{ amount: EUR(1) });",
        "unknown-argument: `options` of `return_deposit` does not take `amount`",
    );
    refused(
        "ivy",
        "bank::return_deposit(\"d\", #{ rail: \"sepa\" });",
        "unsupported: `options` of `return_deposit` of this connection cannot be told `rail`",
    );
    for connector in ["augustus", "ivy"] {
        passes(connector, "bank::return_deposit(\"d\", #{ reason: \"x\" });");
        passes(connector, "bank::return_deposit(\"d\");");
        passes(connector, "let how = #{ any: 1 }; bank::return_deposit(\"d\", how);");
    }
    passes("augustus", "bank::return_deposit(\"d\", #{ rail: \"sepa\" });");
}

#[test]
fn an_id_alone_is_given_only_where_it_stands_in_the_path() {
    refused(
        "augustus",
        "bank::create_payout(\"acc_1\");",
        "unsupported: the argument of `create_payout` cannot be text on this connection",
    );
    refused(
        "augustus",
        "bank::list_payouts(12);",
        "unsupported: the argument of `list_payouts` cannot be a number on this connection",
    );
    passes("augustus", "bank::retrieve_payout(\"po_1\");");
    passes("augustus", "bank::retrieve_payout(#{ id: \"po_1\" });");
    passes("augustus", "bank::list_payouts(#{ status: \"paid\" });");
    passes("augustus", "bank::create_payout(event.payload);");
}

/// What a primitive says by itself no script has to say.
#[test]
fn what_the_primitive_fills_in_is_not_asked_for() {
    for connector in ["ivy", "payments", "payaut"] {
        passes(connector, "bank::transactions();");
        passes(connector, "bank::transactions(#{ from: now() - days(2) });");
    }
    passes("ivy", "bank::transactions(#{ account: \"acc_1\" });");
    passes("ivy", "bank::refund(#{ payment: \"order_1\" });");
    passes("payments", "bank::refund(#{ payment: \"pi_1\" });");
    passes("payments", "bank::capture(#{ payment: \"pi_1\" });");
    passes("payaut", "bank::refund(#{ payment: \"p\", refund: \"r\" });");
}
