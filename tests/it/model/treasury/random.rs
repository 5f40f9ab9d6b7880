//! What holds for every sweep, split, refund and conversion, tried at random. A failure prints its seed.

use bursar::base::money::Money;
use bursar::model::treasury::bounds::Bounds;
use bursar::model::treasury::convert::{SaleForm, SaleRule, price_of, to_sell};
use bursar::model::treasury::divide::{Base, Bearer, DivisionRule, Fee, divide};
use bursar::model::treasury::exchange::way;
use bursar::model::treasury::flow::{Direction, FlowRule, Shortage, flow};
use bursar::model::treasury::give_back::{Original, give_back, reverse};
use bursar::model::treasury::position::Position;
use bursar::model::treasury::several::{Claim, Giver, gather, serve};
use bursar::model::treasury::split::{LeftOver, Part, Share, split_with};
use bursar::model::treasury::structure::{Account, Arrival, concentrate};
use bursar::model::treasury::sweep::{SweepForm, SweepRule};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{currency, random_cases};

fn eur(minor: i64) -> Money {
    Money::from_minor(i128::from(minor), currency("EUR")).expect("in range")
}

fn minor(money: Money) -> i128 {
    money.minor()
}

fn euros(range: std::ops::Range<i64>) -> impl Strategy<Value = Money> {
    range.prop_map(eur)
}

fn sometimes(range: std::ops::Range<i64>) -> impl Strategy<Value = Option<Money>> {
    proptest::option::weighted(0.3, euros(range))
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (sometimes(0..400), sometimes(400..3_000), sometimes(1..300)).prop_map(|(minimum, maximum, multiple)| Bounds {
        minimum,
        maximum,
        multiple,
    })
}

fn position() -> impl Strategy<Value = Position> {
    (
        euros(-3_000..6_000),
        sometimes(-1_000..6_000),
        sometimes(0..1_000),
        sometimes(0..1_000),
        sometimes(0..1_000),
        sometimes(0..1_000),
    )
        .prop_map(|(available, value_dated, holds, leaving, arriving, buffer)| Position {
            available,
            value_dated,
            holds,
            leaving,
            arriving,
            buffer,
        })
}

fn form() -> impl Strategy<Value = SweepForm> {
    prop_oneof![
        Just(SweepForm::Zero),
        euros(0..2_000).prop_map(SweepForm::Target),
        euros(0..2_000).prop_map(SweepForm::KeepBuffer),
        euros(1..2_000).prop_map(SweepForm::Threshold),
        (0i64..2_000, 0i64..2_000).prop_map(|(first, second)| SweepForm::Collar {
            threshold: eur(first.max(second)),
            keep: eur(first.min(second)),
        }),
        (1i64..=10_000).prop_map(|hundredths| SweepForm::Percent(Decimal::new(hundredths, 2))),
        euros(1..2_000).prop_map(SweepForm::Fixed),
    ]
}

/// A rule that can be meant: what is filled in does not go out again.
fn rule() -> impl Strategy<Value = FlowRule> {
    let out = proptest::option::weighted(0.8, (form(), bounds()));
    let shortage = proptest::option::weighted(0.7, (-500i64..2_000, 0i64..800, bounds()));
    (out, shortage).prop_map(|(out, shortage)| {
        let out = out.map(|(form, bounds)| SweepRule {
            form,
            minimum: bounds.minimum,
            maximum: bounds.maximum,
            multiple: bounds.multiple,
        });
        let quiet = out.map(|out| out.quiet_up_to(eur(0)).expect("euros"));
        let shortage = shortage.map(|(below, more, bounds)| {
            let least = |left: Money, right: Money| if minor(left) < minor(right) { left } else { right };
            let wished = eur(below + more);
            let up_to = quiet.map_or(wished, |quiet| least(quiet, wished));
            let below = least(eur(below), up_to);
            Shortage { below, up_to, bounds }
        });
        FlowRule { out, shortage }
    })
}

/// Whether an amount above zero keeps these bounds.
fn keeps(bounds: &Bounds, amount: Money) -> bool {
    bounds.minimum.is_none_or(|minimum| minor(amount) >= minor(minimum))
        && bounds.maximum.is_none_or(|maximum| minor(amount) <= minor(maximum))
        && bounds
            .multiple
            .is_none_or(|multiple| minor(amount) % minor(multiple) == 0)
}

fn out_bounds(rule: &SweepRule) -> Bounds {
    Bounds {
        minimum: rule.minimum,
        maximum: rule.maximum,
        multiple: rule.multiple,
    }
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn what_goes_out_is_usable_and_what_comes_in_is_short(position in position(), rule in rule()) {
        let flow = flow(&position, &rule).expect("a rule that can be meant");
        let taken: i128 = [position.holds, position.leaving, position.buffer].into_iter().flatten().map(minor).sum();
        let available = minor(position.available);
        let there = position.value_dated.map_or(available, |dated| minor(dated).min(available));
        prop_assert_eq!(minor(flow.usable), there - taken);
        prop_assert!(!flow.reason.is_empty());
        prop_assert!(!flow.amount.is_negative() && !flow.missing.is_negative());
        match flow.direction {
            Direction::Nowhere => prop_assert!(flow.amount.is_zero()),
            Direction::Out => {
                let out = rule.out.expect("a rule for the way out");
                prop_assert!(flow.amount.is_positive() && minor(flow.amount) <= minor(flow.usable));
                prop_assert!(keeps(&out_bounds(&out), flow.amount));
                // What is left is no less than what the rule leaves alone in any case.
                let kept = match out.form {
                    SweepForm::Target(kept) | SweepForm::KeepBuffer(kept) | SweepForm::Collar { keep: kept, .. } => kept,
                    _ => eur(0),
                };
                prop_assert!(minor(flow.usable) - minor(flow.amount) >= minor(kept));
            }
            Direction::In => {
                let shortage = rule.shortage.expect("a rule for the way in");
                let expected = minor(flow.usable) + position.arriving.map_or(0, minor);
                prop_assert!(flow.amount.is_positive() && expected < minor(shortage.below));
                prop_assert_eq!(expected + minor(flow.amount) + minor(flow.missing), minor(shortage.up_to));
                prop_assert!(keeps(&shortage.bounds, flow.amount));
            }
        }
    }

    #[test]
    fn a_second_run_that_counts_the_first_does_not_turn_round(position in position(), rule in rule()) {
        let first = flow(&position, &rule).expect("a rule that can be meant");
        let mut after = position;
        let more = |amount: Option<Money>| first.amount.checked_add(amount.unwrap_or(eur(0))).ok();
        match first.direction {
            Direction::Out => after.leaving = more(position.leaving),
            Direction::In => after.arriving = more(position.arriving),
            Direction::Nowhere => {}
        }
        let second = flow(&after, &rule).expect("the same rule");
        // What was sent up does not come down again, and the reverse.
        match first.direction {
            Direction::In => prop_assert_ne!(second.direction, Direction::Out, "{} then {}", first.reason, second.reason),
            Direction::Nowhere => prop_assert_eq!(second.direction, Direction::Nowhere),
            Direction::Out => {}
        }
    }

    #[test]
    fn several_accounts_give_what_they_have_and_no_more_than_is_needed(
        need in euros(0..5_000),
        givers in proptest::collection::vec((euros(-500..3_000), 0i64..4, bounds()), 0..6),
        partial in any::<bool>(),
    ) {
        let givers: Vec<Giver> = givers.into_iter().enumerate().map(|(place, (usable, priority, bounds))| Giver {
            name: place.to_string(), priority, usable, bounds,
        }).collect();
        let gathered = gather(need, &givers, partial).expect("rules that can be meant");
        let sum: i128 = gathered.shares.iter().map(|share| minor(share.amount)).sum();
        prop_assert_eq!(sum, minor(gathered.covered));
        prop_assert_eq!(sum + minor(gathered.missing), minor(need));
        prop_assert!(partial || gathered.missing.is_zero() || sum == 0);
        let mut last = i64::MIN;
        for share in &gathered.shares {
            let giver = &givers[share.name.parse::<usize>().expect("a place")];
            prop_assert!(giver.priority >= last && !share.reason.is_empty());
            last = giver.priority;
            prop_assert!(minor(share.amount) <= minor(giver.usable).max(0));
            prop_assert!(share.amount.is_zero() || keeps(&giver.bounds, share.amount));
        }
    }

    #[test]
    fn nobody_is_served_with_what_is_not_there(
        have in euros(-500..5_000),
        claims in proptest::collection::vec((euros(0..3_000), 0i64..4, bounds(), any::<bool>()), 0..6),
    ) {
        let claims: Vec<Claim> = claims.into_iter().enumerate().map(|(place, (amount, priority, bounds, partial))| Claim {
            name: place.to_string(), priority, amount, bounds, partial,
        }).collect();
        let shares = serve(have, &claims).expect("rules that can be meant");
        let sum: i128 = shares.iter().map(|share| minor(share.amount)).sum();
        prop_assert!(sum <= minor(have).max(0));
        for share in &shares {
            let claim = &claims[share.name.parse::<usize>().expect("a place")];
            prop_assert!(share.amount.is_zero() || share.amount == claim.amount || claim.partial && keeps(&claim.bounds, share.amount));
            prop_assert!(minor(share.amount) <= minor(claim.amount) && !share.reason.is_empty());
        }
    }

    #[test]
    fn a_structure_keeps_every_cent_and_nobody_pays_what_is_not_there(
        members in proptest::collection::vec((position(), rule(), 0i64..3, any::<bool>(), 0usize..100), 1..8),
        at_once in any::<bool>(),
    ) {
        let accounts: Vec<Account> = members.into_iter().enumerate().map(|(place, (position, rule, priority, partial, above))| Account {
            name: place.to_string(),
            superior: (place > 0).then(|| (above % place).to_string()),
            position,
            rule: if place > 0 { rule } else { FlowRule::default() },
            priority,
            partial,
            floor: None,
        }).collect();
        let arrival = if at_once { Arrival::AtOnce } else { Arrival::Later };
        let plan = concentrate(&accounts, arrival).expect("a structure");
        prop_assert_eq!(plan.outcomes.len(), accounts.len() - 1);
        let total = |positions: &[&Position]| -> i128 {
            positions.iter().map(|position| minor(position.available) + position.arriving.map_or(0, minor)).sum()
        };
        let before: Vec<&Position> = accounts.iter().map(|account| &account.position).collect();
        let after: Vec<&Position> = plan.after.iter().map(|(_, position)| position).collect();
        prop_assert_eq!(total(&before), total(&after));
        let mut level = usize::MAX;
        for outcome in &plan.outcomes {
            prop_assert!(outcome.level <= level && !outcome.reason.is_empty());
            level = outcome.level;
            prop_assert_eq!(outcome.direction == Direction::Nowhere, outcome.amount.is_zero());
        }
        // Who had something to give, or nothing, is not below it afterwards.
        for (before, after) in before.iter().zip(&after) {
            let (usable, left) = (minor(before.usable().expect("euros")), minor(after.usable().expect("euros")));
            prop_assert!(left >= usable.min(0), "{before:?} {after:?}");
        }
    }

    #[test]
    fn parts_and_fee_come_to_the_total(
        total in 0i64..20_000,
        cuts in proptest::collection::vec(0u32..=10_000, 0..4),
        fee in 0i64..300,
        net in any::<bool>(),
        bearer in 0u8..4,
        in_order in any::<bool>(),
        with_rest in any::<bool>(),
    ) {
        let mut cuts = cuts;
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        let mut parts: Vec<Part> = cuts.windows(2).enumerate().map(|(place, pair)| {
            Part::new(place.to_string(), Share::Percent(Decimal::new(i64::from(pair[1] - pair[0]), 2)))
        }).collect();
        if with_rest {
            parts[0].share = Share::Rest;
        }
        let bearer = match bearer {
            _ if net => None,
            0 => Some(Bearer::Payer),
            1 => Some(Bearer::Shared),
            _ => Some(Bearer::Part((parts.len() - 1).to_string())),
        };
        let on_top = bearer == Some(Bearer::Payer);
        let rule = DivisionRule {
            parts,
            base: if net { Base::Net } else { Base::Gross },
            fee: Some(Fee { amount: eur(fee), bearer }),
            left_over: if in_order { LeftOver::InOrder } else { LeftOver::LargestRemainder },
        };
        let Ok(divided) = divide(eur(total), &rule) else {
            // Only what does not cover its fee is refused.
            prop_assert!(fee > 0 && !on_top);
            return Ok(());
        };
        let sum: i128 = divided.parts.iter().map(|part| minor(part.amount)).sum();
        prop_assert_eq!(sum, i128::from(if on_top { total } else { total - fee }));
        prop_assert_eq!(minor(divided.cost), i128::from(if on_top { total + fee } else { total }));
        prop_assert!(divided.parts.iter().all(|part| !part.amount.is_negative() && !part.fee.is_negative()));
    }

    #[test]
    fn both_orders_give_units_left_over_to_somebody_cut(
        total in 0i64..20_000,
        cuts in proptest::collection::vec(0u32..=10_000, 0..6),
    ) {
        let mut cuts = cuts;
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        let shares: Vec<i64> = cuts.windows(2).map(|pair| i64::from(pair[1] - pair[0])).collect();
        let parts: Vec<Part> = shares.iter().enumerate().map(|(place, share)| {
            Part::new(place.to_string(), Share::Percent(Decimal::new(*share, 2)))
        }).collect();
        for left_over in [LeftOver::LargestRemainder, LeftOver::InOrder] {
            let amounts = split_with(eur(total), &parts, bursar::base::money::Rounding::Down, left_over).expect("they cover it");
            prop_assert_eq!(amounts.iter().copied().map(minor).sum::<i128>(), i128::from(total));
            for (amount, share) in amounts.iter().zip(&shares) {
                let cut = i128::from(total * share / 10_000);
                prop_assert!(minor(*amount) == cut || minor(*amount) == cut + 1);
                prop_assert!(*share != 0 || amount.is_zero());
            }
        }
    }

    #[test]
    fn refunds_never_exceed_the_original_and_end_with_all_of_it(
        parts in proptest::collection::vec(0i64..5_000, 1..6),
        steps in proptest::collection::vec(1i64..6_000, 0..8),
    ) {
        let total: i64 = parts.iter().sum();
        let mut original = Original::new(eur(total));
        let mut state: Vec<(Money, Money)> = parts.iter().map(|part| (eur(*part), eur(0))).collect();
        for (asked, last) in steps.iter().map(|step| (Some(eur(*step)), false)).chain([(None, true)]) {
            let left = total - original.earlier.iter().map(|earlier| i64::try_from(minor(*earlier)).expect("small")).sum::<i64>();
            match give_back(&original, asked) {
                Err(_) => prop_assert!(left == 0 || asked.is_some_and(|asked| minor(asked) > i128::from(left))),
                Ok(back) => {
                    prop_assert!(back.amount.is_positive());
                    prop_assert_eq!(minor(back.amount) + minor(back.left), i128::from(left));
                    let given = reverse(&state, back.amount).expect("it is left");
                    prop_assert_eq!(given.iter().copied().map(minor).sum::<i128>(), minor(back.amount));
                    for ((part, earlier), given) in state.iter_mut().zip(given) {
                        *earlier = earlier.checked_add(given).expect("euros");
                        prop_assert!(!given.is_negative() && minor(*earlier) <= minor(*part));
                    }
                    original.earlier.push(back.amount);
                    if last {
                        prop_assert!(back.whole && state.iter().all(|(part, earlier)| part == earlier));
                    }
                }
            }
        }
    }

    #[test]
    fn a_price_is_the_least_that_buys(amount in 1i64..1_000_000, rate in 1i64..5_000_000, slippage in 0i64..500) {
        let (rate, slippage) = (Decimal::new(rate, 4), Decimal::new(slippage, 3));
        let wanted = Money::from_minor(i128::from(amount), currency("USD")).expect("in range");
        let price = price_of(wanted, currency("EUR"), rate, slippage).expect("a price");
        // In whole numbers: the rate has four decimals, what is left of it three more.
        let worst = rate.mantissa() * (1_000 - slippage.mantissa());
        let buys = |cents: i128| cents * worst >= i128::from(amount) * 10i128.pow(7);
        prop_assert!(price.is_positive() && buys(minor(price)));
        prop_assert!(minor(price) == 1 || !buys(minor(price) - 1));
    }

    #[test]
    fn nothing_is_sold_that_is_not_there(
        balance in euros(-2_000..6_000),
        from in 0i64..3_000,
        less in 0i64..3_000,
        minimum in sometimes(0..500),
        maximum in sometimes(500..2_000),
    ) {
        let to = (from - less).max(0);
        let rule = SaleRule { minimum, maximum, ..SaleRule::new(SaleForm::Down { from: eur(from), to: eur(to) }) };
        let sale = to_sell(balance, &rule).expect("a rule that can be meant");
        prop_assert!(!sale.amount.is_negative() && !sale.reason.is_empty());
        if sale.amount.is_positive() {
            prop_assert!(minor(balance) > i128::from(from) && minor(balance) - minor(sale.amount) >= i128::from(to));
            let bounds = Bounds { minimum, maximum, multiple: None };
            prop_assert!(keeps(&bounds, sale.amount));
        } else {
            let above = minor(balance) - i128::from(to);
            prop_assert!(minor(balance) <= i128::from(from) || minimum.is_some_and(|minimum| above < minor(minimum)));
        }
    }

    #[test]
    fn a_way_is_direct_or_asked_for(offered in proptest::collection::vec((0usize..5, 0usize..5), 0..12), via in proptest::collection::vec(0usize..5, 0..3)) {
        let codes = ["EUR", "USD", "GBP", "USDC", "CHF"];
        let offered: Vec<_> = offered.into_iter().map(|(from, to)| (currency(codes[from]), currency(codes[to]))).collect();
        let via: Vec<_> = via.into_iter().map(|place| currency(codes[place])).collect();
        let (sold, bought) = (currency("EUR"), currency("USDC"));
        if let Ok(legs) = way(sold, bought, &via, &offered) {
            prop_assert_eq!(legs.len(), via.len() + 1);
            prop_assert_eq!((legs[0].0, legs[legs.len() - 1].1), (sold, bought));
            prop_assert!(legs.windows(2).all(|pair| pair[0].1 == pair[1].0));
            prop_assert!(legs.iter().all(|leg| offered.contains(leg)));
        }
    }
}
