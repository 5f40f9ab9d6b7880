//! Conversions to the end: chains only when asked for, prices only while they hold, each sale once by the ledger.

use std::sync::Arc;
use std::time::Duration;

use bursar::connector::registry::EMBEDDED;
use bursar::connector::table::Connector;
use bursar::model::run::{Run, RunState};
use bursar::model::value::Value;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, report, settled};

const ACCOUNTS: &str = r#"
    let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let dollars = bank::accounts(#{ label: "Dollar account" })[0].id;
    let wallet = bank::accounts(#{ label: "USDC wallet" })[0].id;
"#;

fn texts(run: &Run) -> Vec<String> {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(run.result.as_ref().expect("a result")).expect("a value");
    let list = result.as_list().expect("a list");
    list.iter().map(Value::to_string).collect()
}

/// One for one is 0.9998 dollars less ten basis points: 998.80 for a thousand, of which 918.73 euros are bought.
const CHAIN: &str = r#"
    let sale = bank::convert(#{ from: wallet, to: treasury, amount: USDC(1_000), via: "USD", max_slippage: 0.01 });
    let done = bank::settled(sale.conversion);
    let had = sale.legs[0].conversion;
    [
        sale.moved, sale.legs.len(), had.source_account_id == wallet, had.bought == sale.legs[1].moved,
        sale.conversion.source_account_id == dollars, done.status, done.bought.currency, sale.reason,
    ]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_sells_what_the_first_conversion_bought_and_only_when_asked() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let told = texts(&world.run(&format!("{ACCOUNTS} {CHAIN}")).await);
    assert_eq!(
        told[..7],
        ["USDC 1,000.000000", "2", "true", "true", "true", "completed", "EUR"]
    );
    assert_eq!(
        told[7],
        "USDC 1,000.000000 sold: the USDC 1,000.000000 asked for; then USD 998.80 sold: the USD 998.80 asked for"
    );
    let left = ["USDC wallet", "Dollar account"].map(|label| {
        let account = world.simulator.control.account(label).expect("there");
        world.simulator.control.balance(account).expect("a balance").to_string()
    });
    assert_eq!(left, ["USDC 39,000.000000", "USD 85,000.00"]);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 2, "{audit}");
    // Nobody asked: one conversion, straight.
    let straight = "let sale = bank::convert(#{ from: wallet, to: treasury, amount: USDC(10) }); [sale.legs == ()]";
    assert_eq!(texts(&world.run(&format!("{ACCOUNTS} {straight}")).await), ["true"]);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 3, "{audit}");
}

/// The first was sold: that the second was not is told with it, and does not hide it.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_breaks_off_tells_what_was_sold_before() {
    let mut slow = SimulatorConfig::demo();
    slow.lifecycle.conversion_completed_ms = 86_400_000;
    for (config, more, says) in [
        (SimulatorConfig::demo(), "", ["conflict", "completed"]),
        (slow, ", timeout: \"1m\"", ["timeout", "pending"]),
    ] {
        let world = World::in_haste(config).await;
        let refused = FaultAction::Refusal {
            status: 409,
            code: "conflict".to_owned(),
        };
        world
            .simulator
            .control
            .add_fault(FaultRule::on("create_conversion", refused).nth(2));
        let script = format!(
            r#"{ACCOUNTS}
            let sale = bank::convert(#{{ from: wallet, to: treasury, amount: USDC(1_000), via: dollars{more} }});
            [
                sale.failure.error, sale.legs[0].conversion.status, sale.moved, sale.legs.len(), sale.conversion == (),
                sale.legs[0].conversion.target_account_id == dollars, sale.failure.message, sale.reason,
            ]"#
        );
        let told = texts(&world.run(&script).await);
        assert_eq!(told[..2], says);
        assert_eq!(told[2..6], ["USDC 1,000.000000", "1", "true", "true"]);
        let message = &told[6];
        assert_eq!(
            told[7],
            format!("USDC 1,000.000000 sold: the USDC 1,000.000000 asked for; nothing more was sold: {message}")
        );
        let effects = world.simulator.control.effects();
        assert_eq!(effects.len(), 1, "{effects:?}");
        assert_eq!(effects[0].amount.to_string(), "USDC 1,000.000000");
    }
}

/// The provider takes the number for one of the account's currency, whatever the script has said.
#[tokio::test(flavor = "multi_thread")]
async fn an_amount_of_another_currency_than_the_accounts_is_not_sold() {
    let world = World::demo().await;
    let script = format!(
        r#"{ACCOUNTS}
        let told = [];
        try {{
            bank::create_conversion(#{{ source_account_id: wallet, target_account_id: treasury, source_amount: EUR(1_000) }});
        }} catch (e) {{ told = [e.error, e.message]; }}
        told"#
    );
    let run = world.run(&script).await;
    assert!(world.simulator.control.effects().is_empty(), "{:?}", run.error);
    let told = texts(&run);
    assert_eq!(told[0], "not_possible");
    assert!(told[1].contains("the account is in another currency"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_chain_or_no_price_is_told_before_anything_is_sold() {
    let world = World::demo().await;
    for (asked, says) in [
        (
            "amount: USDC(20), via: \"USDC\"",
            "invalid_argument: USDC stands twice in the chain",
        ),
        (
            "amount: USDC(20), via: treasury",
            "invalid_argument: EUR stands twice in the chain",
        ),
        ("amount: USDC(20), via: \"EUR\"", "give the id of the one to go through"),
        ("amount: USDC(20), via: \"GBP\"", "there are 0 accounts in GBP"),
        (
            "buy: EUR(20), via: \"USD\", max_slippage: 0.1",
            "does not go with `buy`",
        ),
        ("amount: USDC(20), timeout: \"1m\"", "belongs to `via`"),
        ("amount: USDC(20), quote: price", "needs `max_slippage`"),
        (
            "amount: USDC(20), quote: price, via: \"USD\", max_slippage: 0.1",
            "does not go with",
        ),
        ("amount: USDC(20), quote: 1, max_slippage: 0.1", "takes a map"),
        (
            "amount: USDC(20), quote: other, max_slippage: 0.1",
            "the quote is for USDC to USD, not for USDC to EUR",
        ),
        (
            "amount: USDC(20), quote: old, max_slippage: 0.1",
            "quote_expired: the quote expired at",
        ),
        (
            "amount: USDC(20), quote: dear, max_slippage: 0.1",
            "% worse than the indicative 9",
        ),
        (
            "amount: USDC(9.99)",
            "USDC 9.990000 is below the minimum of USDC 10.000000",
        ),
    ] {
        let script = format!(
            r#"{ACCOUNTS}
            let price = bank::quote(#{{ from: "USDC", to: "EUR", amount: USDC(20) }});
            let other = bank::quote(#{{ from: "USDC", to: "USD" }});
            let old = price; old.expires_at = now() - minutes(1);
            let dear = price; dear.rate = 9;
            let told = "";
            try {{ told = bank::convert(#{{ from: wallet, to: treasury, {asked} }}).reason; }}
            catch (e) {{ told = `${{e.error}}: ${{e.message}}`; }}
            [told]"#
        );
        let told = texts(&world.run(&script).await);
        assert!(told[0].contains(says), "{asked}: {told:?}");
    }
    assert!(world.simulator.control.effects().is_empty());
    // One that holds is measured against, and used.
    let script = format!(
        r#"{ACCOUNTS}
        let price = bank::quote(#{{ from: "USDC", to: "EUR", amount: USDC(20) }});
        price.expires_at = now() + days(1);
        let sale = bank::convert(#{{ from: wallet, to: treasury, amount: USDC(20), quote: price, max_slippage: 0 }});
        [sale.moved, sale.quoted_rate == price.rate]"#
    );
    assert_eq!(texts(&world.run(&script).await), ["USDC 20.000000", "true"]);
}

/// What a provider does not show is unknown, which is not the same as nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_told_where_the_table_says_where_it_stands() {
    let script = format!(
        r#"{ACCOUNTS}
        let sale = bank::convert(#{{ from: wallet, to: treasury, amount: USDC(100) }});
        let done = bank::settled(sale.conversion);
        [done.fee ?? "unknown", `${{done.fee}}` == `${{done.bought}}`, done.rate_from]"#
    );
    let rate = r#"rate = "/exchange_rate""#;
    let with = |more: &str| EMBEDDED[0].1.replacen(rate, &format!("{rate}{more}"), 1);
    // The quote that the simulator shows has no fee in it, as its provider documents none: another amount stands in for it.
    let mapped = r#", fee = "/target_amount", fee_currency = "/target_currency""#;
    let not_there = r#", fee = "/fee/amount", fee_currency = "/fee/currency""#;
    for (more, is_told) in [("", false), (not_there, false), (mapped, true)] {
        let mut world = World::in_haste(SimulatorConfig::demo()).await;
        let table = Connector::parse("augustus.toml", &with(more)).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        world.reconnect(|bank| bank.connector = Arc::new(table));
        let told = texts(&world.run(&script).await);
        assert_eq!(told[0] == "unknown", !is_told, "{more}: {told:?}");
        assert_eq!(told[1..], [is_told.to_string().as_str(), "provider"], "{more}");
    }
    let half = Connector::parse("augustus.toml", &with(r#", fee = "/fee/amount""#)).expect_err("no currency");
    assert!(
        format!("{half:?}").contains("`fee` and `fee_currency` say together"),
        "{half:?}"
    );
}

/// Drives a chain until the store has failed, or the run has ended before that. How many writes there were.
async fn driven(fault: Fault) -> u64 {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let store = world.store().await;
    let script = format!("{ACCOUNTS} {CHAIN}");
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        let run = store.run(id).await.expect("read").expect("there");
        if faulty.is_dead() || run.state.is_final() {
            break;
        }
        assert!(!patience.is_over(), "{fault:?}: {run:?}");
        pause(Duration::from_millis(2)).await;
    }
    engine.stop().await;
    store.close().await.expect("closed");
    drop(store);
    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    let told = texts(&settled(store.as_ref(), id).await);
    engine.stop().await;
    assert_eq!(told[0], "USDC 1,000.000000", "{fault:?}");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 2, "{fault:?}: {audit}");
    store.close().await.expect("closed");
    faulty.writes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_conversions_survives_a_crash_at_every_write() {
    let writes = driven(Fault::Never).await;
    for number in 1..=writes {
        let fault = if number.is_multiple_of(2) {
            Fault::After(number)
        } else {
            Fault::Before(number)
        };
        driven(fault).await;
    }
    report(&format!(
        "a chain of two conversions: {writes} crash points, each sells every amount once"
    ));
}
