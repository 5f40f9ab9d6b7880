//! The engine against the simulator: primitives, retries, waits, divergence, doubt.

use bursar::base::secret::Secret;
use bursar::model::run::RunState;
use bursar::model::value::Value;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use crate::support::{World, settled};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let paid = bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" });
    bank::settled(paid, "1m").status
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_paid_and_settles() {
    let world = World::demo().await;
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!("paid")));
    let audit = world.audit(world.store().await.as_ref()).await;
    assert_eq!(
        audit.to_string(),
        "1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 10.50 = journal EUR 10.50"
    );
    assert!(audit.is_exact());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_dies_is_heard_of() {
    let world = World::demo().await;
    let store = Faulty::new(world.store().await, Fault::Panic(2));
    let mut engine = world.engine(store).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), engine.ended()).await;
    assert!(ended.expect("it is heard of").is_err(), "it died of a panic");
    engine.stop().await;
}

/// A fault of one kind on the payout: paid once all the same.
async fn paid_once_despite(fault: FaultAction) {
    let world = World::demo().await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault.clone()).times(1));
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{fault:?}: {:?}", run.error);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{fault:?}: {audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_provider_pays_neither_twice_nor_never() {
    let status = |status, when| FaultAction::Status {
        status,
        when,
        retry_after_secs: None,
    };
    for fault in [
        FaultAction::Refuse,
        FaultAction::DropAfterEffect,
        FaultAction::TruncatedBody,
        FaultAction::CutBody,
        status(429, When::Before),
        status(500, When::Before),
        status(500, When::After),
        status(502, When::After),
        status(503, When::Before),
        status(504, When::After),
    ] {
        paid_once_despite(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_amount_is_parked_not_believed() {
    let world = World::demo().await;
    let wrong = FaultAction::WrongAmount {
        amount: "99.00".to_owned(),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", wrong).times(1));
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Parked);
    assert_eq!(run.error.map(|error| error.code).as_deref(), Some("contradiction"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_parks_the_run_with_a_plain_sentence() {
    let mut world = World::demo().await;
    world.reconnect(|bank| bank.credential = Some(Secret::new("sandbox.wrong".to_owned())));
    let run = world.run("bank::balance(bank::accounts()[0].id)").await;
    assert_eq!(run.state, RunState::Parked);
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "refused");
    assert!(
        error.message.contains("connection `bank`") && !error.message.contains("sandbox.wrong"),
        "{}",
        error.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_the_buffer_and_says_why_nothing_moved() {
    let world = World::demo().await;
    let run = world
        .run(
            r#"
            let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
            let swept = [];
            for label in ["Operating FR", "Operating NL"] {
                let from = bank::accounts(#{ label: label })[0].id;
                let done = bank::sweep(#{ from: from, to: treasury, keep: EUR(1_000), minimum: EUR(100), multiple: EUR(10), reference: "SWEEP" });
                swept.push(`${done.moved}`);
                swept.push(done.reason);
            }
            swept
            "#,
        )
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(&run.result.expect("a result")).expect("a value");
    let told: Vec<&str> = result
        .as_list()
        .expect("a list")
        .iter()
        .filter_map(Value::as_text)
        .collect();
    assert_eq!(told[0], "EUR 11,480.00");
    assert_eq!(told[2], "EUR 0.00");
    assert!(told[3].contains("buffer"), "{}", told[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_sums_to_the_total_and_shows_partial_success() {
    let world = World::demo().await;
    let run = world
        .run(
            r#"
            let from = bank::accounts(#{ label: "Treasury EUR" })[0].id;
            let to = bank::accounts(#{ label: "Operating DE" })[0].id;
            let paid = bank::split(#{ from: from, total: EUR(100.01), reference: "S-1", parts: [
                #{ name: "fee", to: to, percent: 2.5 },
                #{ name: "seller", to: #{ type: "iban", iban: "FR1420041010050500013M02606", account_holder_name: "Atelier" }, rest: true },
            ] });
            [paid.complete, `${paid.parts[0].amount}`, `${paid.parts[1].amount}`]
            "#,
        )
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!([true, "EUR 2.50", "EUR 97.51"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caught_failure_is_recorded_and_a_run_can_go_on() {
    let world = World::demo().await;
    let run = world
        .run(
            r#"
            let code = "";
            try { bank::retrieve_payout("00000000-0000-4000-8000-000000000000"); } catch (e) { code = e.error; }
            log::info(`caught ${code}`);
            code
            "#,
        )
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!("resource_not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_for_later_runs() {
    let world = World::demo().await;
    let script = r#"let n = state::get("n") ?? 0; state::set("n", n + 1); state::get("n")"#;
    assert_eq!(world.run(script).await.result, Some(json!(1)));
    assert_eq!(world.run(script).await.result, Some(json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_run_holds_no_thread_and_wakes() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut runs = Vec::new();
    // Four times as many as there are threads.
    for _ in 0..32 {
        runs.push(
            world
                .start(store.as_ref(), "sleep(\"1s\"); now()", json!({}), json!({}))
                .await,
        );
    }
    for id in runs {
        assert_eq!(settled(store.as_ref(), id).await.state, RunState::Succeeded);
    }
    engine.stop().await;
}

/// The results of a script as text, one for each member of the list it ends with.
async fn told(world: &World, script: &str) -> Vec<String> {
    let run = world.run(script).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(&run.result.expect("a result")).expect("a value");
    result
        .as_list()
        .expect("a list")
        .iter()
        .map(ToString::to_string)
        .collect()
}

const ACCOUNTS: &str = r#"
    let de = bank::accounts(#{ label: "Operating DE" })[0].id;
    let fr = bank::accounts(#{ label: "Operating FR" })[0].id;
    let nl = bank::accounts(#{ label: "Operating NL" })[0].id;
    let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let wallet = bank::accounts(#{ label: "USDC wallet" })[0].id;
"#;

/// Opening balances: DE 48,250.00, FR 12,480.55, NL 730.10.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_off_what_is_spoken_for_and_fills_up_what_is_short() {
    let world = World::demo().await;
    let script = format!(
        r#"{ACCOUNTS}
        let out = bank::sweep(#{{ from: fr, to: treasury, holds: EUR(2_000), in_flight: EUR(480.55), percent: 10, reference: "S" }});
        let back = bank::sweep(#{{
            from: nl, to: fr, target: EUR(1_000), deficit: #{{ to: EUR(1_000), multiple: EUR(100) }}, reference: "S",
        }});
        let covered = bank::sweep(#{{
            from: nl, to: fr, target: EUR(1_000), deficit: #{{ to: EUR(1_000) }}, arriving: EUR(300), reference: "S",
        }});
        let lacking = bank::sweep(#{{
            from: nl, to: fr, target: EUR(90_000), deficit: #{{ to: EUR(90_000), minimum: EUR(50) }}, reference: "S",
        }});
        [
            out.moved, out.direction, out.usable, out.reason,
            back.moved, back.direction, back.missing, back.left, back.payout.source_account_id == fr,
            covered.moved, covered.direction,
            lacking.moved, lacking.direction, lacking.reason,
        ]"#
    );
    let told = told(&world, &script).await;
    assert_eq!(told[..3], ["EUR 1,000.00", "out", "EUR 10,000.00"]);
    assert!(told[3].contains("10 % of the balance of EUR 10,000.00"), "{}", told[3]);
    assert!(told[3].contains("less the holds of EUR 2,000.00"), "{}", told[3]);
    assert_eq!(told[4..9], ["EUR 200.00", "in", "EUR 69.90", "EUR 930.10", "true"]);
    assert_eq!(told[9..11], ["EUR 0.00", "none"]);
    assert_eq!(told[11..13], ["EUR 0.00", "none"]);
    assert!(told[13].contains("does not cover the EUR"), "{}", told[13]);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 2, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_moves_between_accounts_of_ours_and_a_quote_moves_nothing() {
    let world = World::demo().await;
    let script = format!(
        r#"{ACCOUNTS}
        let price = bank::quote(#{{ from: "USDC", to: "EUR", amount: USDC(100) }});
        let moved = bank::transfer(#{{ from: fr, to: treasury, amount: EUR(80.55), reference: "FUND" }});
        [
            price.sold, price.bought.currency == "EUR", price.rate > 0, price.fee == (), price.expires_at == (),
            moved.resource, moved.source_account_id == fr, bank::balance(fr),
        ]"#
    );
    let told = told(&world, &script).await;
    assert_eq!(told[..5], ["USDC 100.000000", "true", "true", "true", "true"]);
    assert_eq!(told[5..], ["payout", "true", "EUR 12,400.00"]);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_accounts_are_swept_by_priority_and_up_to_what_is_needed() {
    let world = World::demo().await;
    let script = format!(
        r#"{ACCOUNTS}
        let sources = [
            #{{ account: de, priority: 2, keep: EUR(1_000), multiple: EUR(1_000) }},
            #{{ account: nl, priority: 1 }},
        ];
        let wanted = bank::balance(fr) + EUR(10_000);
        let short = bank::sweep(#{{ from: sources, to: fr, up_to: wanted, reference: "S" }});
        let part = bank::sweep(#{{ from: sources, to: fr, up_to: wanted, partial: true, reference: "S" }});
        let all = bank::sweep(#{{ from: sources, to: treasury, reference: "S" }});
        [
            short.moved, short.missing, short.reason,
            part.moved, part.missing, part.moves[0].moved, part.moves[1].moved, part.complete,
            all.moved, all.moves[0].reason, all.moves[1].moved,
        ]"#
    );
    let told = told(&world, &script).await;
    // 10,000 - 730.10 is 9,269.90, 9,000 of it in whole thousands.
    assert_eq!(told[..2], ["EUR 0.00", "EUR 10,000.00"]);
    assert!(told[2].contains("EUR 10,000.00 is missing"), "{}", told[2]);
    assert_eq!(
        told[3..8],
        ["EUR 9,730.10", "EUR 269.90", "EUR 730.10", "EUR 9,000.00", "true"]
    );
    // 48,250 - 9,000 - 1,000 is 38,250, 38,000 of it in whole thousands.
    assert_eq!(told[8..], ["EUR 38,000.00", "the account is empty", "EUR 38,000.00"]);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 3, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_may_have_a_fee_and_says_who_gets_units_left_over() {
    let world = World::demo().await;
    let script = format!(
        r#"{ACCOUNTS}
        let net = bank::split(#{{ from: treasury, total: EUR(100), fee: EUR(2), base: "net", reference: "S", parts: [
            #{{ name: "half", to: de, percent: 50 }}, #{{ name: "rest", to: fr, rest: true }},
        ] }});
        let borne = bank::split(#{{ from: treasury, total: EUR(100), fee: EUR(1.50), borne_by: "seller", reference: "S", parts: [
            #{{ name: "platform", to: de, percent: 10 }}, #{{ name: "seller", to: fr, rest: true }},
        ] }});
        let order = bank::split(#{{ from: treasury, total: EUR(0.99), left_over: "in_order", reference: "S", parts: [
            #{{ name: "a", to: de, percent: 45 }}, #{{ name: "b", to: fr, percent: 45 }}, #{{ name: "c", to: nl, percent: 10 }},
        ] }});
        [
            net.parts[0].amount, net.parts[1].amount, net.cost, net.left_over,
            borne.parts[1].amount, borne.parts[1].fee,
            order.parts[1].amount, order.parts[2].amount,
        ]"#
    );
    let told = told(&world, &script).await;
    assert_eq!(told[..3], ["EUR 49.00", "EUR 49.00", "EUR 100.00"]);
    assert!(told[3].contains("`rest` takes the rest"), "{}", told[3]);
    assert_eq!(told[4..], ["EUR 88.50", "EUR 1.50", "EUR 0.45", "EUR 0.09"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_may_be_down_to_a_target_or_by_what_is_bought() {
    let world = World::demo().await;
    let script = format!(
        r#"{ACCOUNTS}
        let before = bank::balance(treasury);
        let bought = bank::convert(#{{ from: wallet, to: treasury, buy: EUR(100), max_slippage: 0.01 }});
        let done = bank::settled(bought.conversion, "1h");
        let there = bank::balance(wallet);
        let down = bank::convert(#{{ from: wallet, to: treasury, above: there - USDC(1), to_target: there - USDC(50) }});
        let kept = bank::convert(#{{ from: wallet, to: treasury, above: there, to_target: USDC(1) }});
        [
            done.status, done.bought >= EUR(100), done.bought < EUR(103), done.fee == (), done.rate_from,
            down.moved, kept.moved,
        ]"#
    );
    let told = told(&world, &script).await;
    assert_eq!(
        told,
        [
            "completed",
            "true",
            "true",
            "true",
            "provider",
            "USDC 50.000000",
            "USDC 0.000000"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_do_not_go_together_say_what_to_do() {
    let world = World::demo().await;
    for (call, expected) in [
        (
            "bank::sweep(#{ from: fr, to: treasury, target: EUR(1), percent: 5, reference: \"S\" })",
            "stand alone",
        ),
        (
            "bank::sweep(#{ from: fr, to: treasury, percent: 0, reference: \"S\" })",
            "0 per cent is no share",
        ),
        (
            "bank::sweep(#{ from: fr, to: treasury, deficit: #{ to: EUR(5) }, reference: \"S\" })",
            "fill up to EUR 0.00 at most",
        ),
        (
            "bank::sweep(#{ from: fr, to: treasury, deficit: #{ upto: EUR(5) }, reference: \"S\" })",
            "does not take `upto`",
        ),
        (
            "bank::sweep(#{ from: fr, to: treasury, arriving: EUR(5), reference: \"S\" })",
            "belongs to `deficit`",
        ),
        (
            "bank::sweep(#{ from: [], to: treasury, reference: \"S\" })",
            "an empty list",
        ),
        (
            "bank::sweep(#{ from: [#{ account: treasury }], to: treasury, reference: \"S\" })",
            "the same account",
        ),
        (
            "bank::sweep(#{ from: [#{ account: fr }, #{ account: fr }], to: treasury, reference: \"S\" })",
            "stands twice",
        ),
        (
            "bank::sweep(#{ from: [#{ account: fr }, #{ account: wallet }], to: treasury, reference: \"S\" })",
            "cannot compare EUR and USDC",
        ),
        (
            "bank::sweep(#{ from: [#{ account: fr }], to: treasury, partial: true, reference: \"S\" })",
            "belong to `up_to`",
        ),
        (
            "bank::convert(#{ from: wallet, to: treasury, amount: USDC(5), buy: EUR(5) })",
            "exactly one of",
        ),
        (
            "bank::payout(#{ to: treasury, amount: EUR(5), reference: \"S\" })",
            "`payout` needs `from`",
        ),
        (
            "bank::transfer(#{ from: fr, to: 7, amount: EUR(5), reference: \"S\" })",
            "`to` of `transfer` has to be text",
        ),
        (
            "bank::quote(#{ from: \"USDC\", to: \"EUR\", amount: EUR(5) })",
            "is what is sold: USDC",
        ),
        ("bank::quote(#{ from: \"US\", to: \"EUR\" })", "is not a currency"),
        (
            "bank::convert(#{ from: wallet, to: treasury, buy: EUR(5) })",
            "needs `max_slippage`",
        ),
        (
            "bank::convert(#{ from: wallet, to: treasury, buy: USD(5), max_slippage: 0.01 })",
            "`buy` of `convert` is in USD",
        ),
        (
            "bank::split(#{ from: treasury, total: EUR(5), base: \"net\", reference: \"S\", parts: [#{ name: \"a\", to: fr, rest: true }] })",
            "give `fee` as well",
        ),
        (
            "bank::split(#{ from: treasury, total: EUR(5), fee: EUR(1), reference: \"S\", parts: [#{ name: \"a\", to: fr, rest: true }] })",
            "nobody was said to bear the fee",
        ),
        (
            "bank::split(#{ from: treasury, total: EUR(5), fee: EUR(1), borne_by: \"b\", reference: \"S\", parts: [#{ name: \"a\", to: fr, rest: true }] })",
            "no part of this split",
        ),
    ] {
        let script = format!(
            "{ACCOUNTS} let told = \"\"; try {{ {call}; }} catch (e) {{ told = `${{e.error}}: ${{e.message}}`; }} [told]"
        );
        let told = told(&world, &script).await;
        assert!(
            told[0].starts_with("invalid_argument: ") && told[0].contains(expected),
            "{call}: {}",
            told[0]
        );
    }
    assert!(world.simulator.control.effects().is_empty());
}
