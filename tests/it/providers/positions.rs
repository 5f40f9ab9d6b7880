//! What an account holds, what may be moved of it, and when it has arrived: the same words at every provider, each told
//! as far as the provider tells it.

use std::sync::Arc;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::money::Currency;
use bursar::model::run::{Run, RunState};
use bursar::model::value::Value;
use bursar::simulator::config::payments::CARD;
use bursar::simulator::config::{AccountSeed, SimulatorConfig};
use serde_json::{Value as Json, json};

use super::payaut::{SELLER, TREASURY, balance, code, payaut, run};
use super::payments::Shop;
use crate::support::World;

/// Ends as every sweep may end, whatever moved.
const SWEEP: &str = r#"
    let swept = bank::sweep(#{ from: params.from, to: params.to, keep: EUR(200), reference: "S" });
    let done = bank::settled(swept.payout);
    [swept.moved, if done == () { "nothing" } else { "done" }, swept.payout == ()]
"#;

/// Opening balances: DE 48,250.00, FR 12,480.55, NL 730.10, US 5,000 dollars.
const ACCOUNTS: &str = r#"
    let de = bank::accounts(#{ label: "Operating DE" })[0].id;
    let fr = bank::accounts(#{ label: "Operating FR" })[0].id;
    let nl = bank::accounts(#{ label: "Operating NL" })[0].id;
    let us = bank::accounts(#{ label: "Operating US" })[0].id;
    let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
"#;

async fn augustus() -> (World, ManualClock) {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut config = SimulatorConfig::demo();
    let dollar: Currency = "USD".parse().expect("a currency");
    config.accounts.push(AccountSeed::new("Operating US", dollar, "5000"));
    let world = World::with_clock(config, Arc::new(clock.clone())).await;
    (world, clock)
}

fn texts(run: &Run) -> Vec<String> {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(run.result.as_ref().expect("a result")).expect("a value");
    let list = result.as_list().expect("a list");
    list.iter().map(Value::to_string).collect()
}

/// What the script tells at the bank with several accounts.
async fn told(world: &World, clock: &ManualClock, script: &str) -> Vec<String> {
    texts(&run(world, clock, &format!("{ACCOUNTS} {script}"), json!({})).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_script_waits_for_what_it_swept_at_any_provider_moved_or_not() {
    let (bank, clock) = augustus().await;
    let id = |label: &str| bank.simulator.control.account(label).expect("there").to_string();
    let params = json!({ "from": id("Operating DE"), "to": id("Treasury EUR") });
    let first = texts(&run(&bank, &clock, SWEEP, params.clone()).await);
    assert_eq!(first, ["EUR 48,050.00", "done", "false"]);
    let again = texts(&run(&bank, &clock, SWEEP, params).await);
    assert_eq!(again, ["EUR 0.00", "nothing", "true"]);

    let (hub, clock) = payaut(|_| {}).await;
    let params = json!({ "from": code(&hub, SELLER), "to": code(&hub, TREASURY) });
    let first = texts(&run(&hub, &clock, SWEEP, params.clone()).await);
    assert_eq!(first, ["EUR 850.00", "done", "false"]);
    let again = texts(&run(&hub, &clock, SWEEP, params).await);
    assert_eq!(again, ["EUR 0.00", "nothing", "true"]);
    assert_eq!(balance(&hub, TREASURY), "EUR 850.00");
}

/// Nothing shows a transfer there once it is made; what is no resource at all is refused as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_nothing_shows_comes_back_as_it_is_and_anything_else_is_refused() {
    let (hub, clock) = payaut(|_| {}).await;
    let script = format!(
        r#"let made = bank::transfer(#{{ from: "{}", to: "{}", amount: EUR(5), reference: "A" }});
        let done = bank::settled(made, "1m");
        let told = [done.code == made.code];
        for wrong in [#{{}}, #{{ moved: EUR(5), payout: made }}, "A", 7] {{
            try {{ bank::settled(wrong); told.push("taken"); }} catch (e) {{ told.push(e.error); }}
        }}
        try {{ bank::settled((), "soon"); told.push("taken"); }} catch (e) {{ told.push(e.error); }}
        told"#,
        code(&hub, SELLER),
        code(&hub, TREASURY)
    );
    let told = texts(&run(&hub, &clock, &script, json!({})).await);
    assert_eq!(told[0], "true");
    assert!(told[1..].iter().all(|told| told == "invalid_argument"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_tells_apart_what_the_provider_tells_apart() {
    let (bank, clock) = augustus().await;
    let script = r#"
        let one = bank::position(de);
        let all = bank::balances(#{ label: "Operating DE" })[0];
        [one.account == de, one.available, one.pending, one.booked, type_of(one.as_of), one.as_of <= now(),
            all.balance, all.pending, all.booked, type_of(all.as_of)]"#;
    let of_time = told(&bank, &clock, "[type_of(now())]").await;
    let told = told(&bank, &clock, script).await;
    let time = of_time[0].as_str();
    let expected = [
        "true",
        "EUR 48,250.00",
        "()",
        "()",
        time,
        "true",
        "EUR 48,250.00",
        "()",
        "()",
        time,
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_is_told_and_is_not_available() {
    let shop = Shop::new().await;
    let account = &shop.account;
    let script = format!(
        r#"let shown = || {{ let it = bank::position("{account}"); [`${{it.available}}`, `${{it.pending}}`, it.booked == (), it.as_of == ()] }};
        let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: true }});
        bank::create_payment(#{{ id: intent.id, payment_method_id: "{CARD}" }});
        let before = shown.call();
        bank::settled(#{{ resource: "payment_intent", id: intent.id }}, "9d");
        [before, shown.call(), `${{bank::balance("{account}")}}`]"#
    );
    let told: Json = shop.told(&script).await;
    assert_eq!(
        told,
        json!([
            ["USD 0.00", "USD 100.00", true, true],
            ["USD 100.00", "USD 0.00", true, true],
            "USD 100.00"
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_is_never_moved_whatever_the_rule_says() {
    let (bank, clock) = augustus().await;
    let script = r#"
        let share = bank::sweep(#{ from: de, to: treasury, percent: 30, buffer: EUR(100), reference: "S" });
        let kept = bank::sweep(#{ from: [#{ account: fr, keep: EUR(400), buffer: EUR(80.55) }], to: treasury, reference: "S" });
        let pool = bank::concentrate(#{ reference: "S", accounts: [
            #{ account: treasury }, #{ account: nl, above: treasury, buffer: EUR(700) } ] });
        let over = bank::sweep(#{ from: nl, to: treasury, buffer: EUR(700.01), reference: "S" });
        [share.moved, share.reason, share.usable, kept.moved, kept.moves[0].reason, pool.moved, pool.moves[0].reason,
            over.moved, over.reason]"#;
    assert_eq!(
        told(&bank, &clock, script).await,
        [
            "EUR 14,445.00",
            "EUR 14,445.00, 30 % of the balance of EUR 48,150.00 (EUR 48,250.00 available, less the buffer of EUR 100.00)",
            "EUR 48,150.00",
            "EUR 12,000.00",
            "EUR 12,000.00 above the buffer of EUR 400.00 (EUR 12,480.55 available, less the buffer of EUR 80.55)",
            "EUR 30.10",
            "the whole balance of EUR 30.10 (EUR 730.10 available, less the buffer of EUR 700.00)",
            "EUR 0.00",
            "the account is overdrawn by EUR 0.01 (EUR 700.00 available, less the buffer of EUR 700.01)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_for_a_deficit_is_not_drained_below_its_floor() {
    let (bank, clock) = augustus().await;
    // NL is short of 269.90; above its floor FR has 80.55.
    let script = r#"
        let told = [];
        for deficit in [
            #{ to: EUR(1_000), floor: EUR(12_400) },
            #{ to: EUR(1_000), floor: EUR(12_400), partial: true },
            #{ to: EUR(1_000), floor: EUR(13_000), partial: true },
        ] {
            let swept = bank::sweep(#{ from: nl, to: fr, target: EUR(1_000), deficit: deficit, reference: "S" });
            bank::settled(swept.payout);
            told += [`${swept.direction} ${swept.moved} ${swept.missing}`, swept.reason];
        }
        try { bank::concentrate(#{ reference: "S", accounts: [
            #{ account: fr }, #{ account: nl, above: fr, deficit: #{ floor: EUR(1) } } ] }); told.push("taken"); }
        catch (e) { told.push(e.message); }
        told + [bank::balance(fr)]"#;
    let told = told(&bank, &clock, script).await;
    assert_eq!(told[0], "none EUR 0.00 EUR 269.90");
    assert_eq!(told[2], "in EUR 80.55 EUR 189.35");
    assert_eq!(told[4], "none EUR 0.00 EUR 189.35");
    for at in [1, 3] {
        assert!(
            told[at].ends_with("(EUR 12,480.55 usable there, less the floor of EUR 12,400.00)"),
            "{told:?}"
        );
    }
    assert!(told[6].contains("does not take `floor`"), "{told:?}");
    assert_eq!(told[7], "EUR 12,400.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_currencies_are_told_before_anything_is_sent() {
    let (bank, clock) = augustus().await;
    let script = r#"
        let told = [us];
        for attempt in [
            || bank::sweep(#{ from: us, to: treasury, keep: EUR(100), reference: "S" }),
            || bank::sweep(#{ from: [#{ account: us, buffer: EUR(1) }], to: treasury, reference: "S" }),
            || bank::sweep(#{ from: us, to: treasury, reference: "S" }),
            || bank::transfer(#{ from: us, to: treasury, amount: USD(1), reference: "S" }),
            || bank::sweep(#{ from: us, to: treasury, percent: 30, keep: USD(1), reference: "S" }),
        ] {
            try { attempt.call(); told.push("taken"); } catch (e) { told.push(`${e.error}: ${e.message}`); }
        }
        told + [treasury]"#;
    let told = told(&bank, &clock, script).await;
    let (us, treasury) = (&told[0], &told[6]);
    assert_eq!(
        told[1],
        format!("invalid_argument: `keep` is EUR 100.00, and account {us} holds USD")
    );
    assert_eq!(
        told[2],
        format!("invalid_argument: `buffer` is EUR 1.00, and account {us} holds USD")
    );
    for at in [3, 4] {
        let says = format!("account {treasury} holds EUR");
        assert!(
            told[at].starts_with("invalid_argument: ") && told[at].contains(&says),
            "{told:?}"
        );
    }
    assert!(told[5].contains("`buffer`"), "{told:?}");
    let requests = bank.simulator.control.requests();
    assert!(!requests.contains_key("create_payout"), "the bank was asked");
}
