//! Random workflows whose every movement is known before they run: how, and how much to the cent. Pure.
//!
//! Each is a manifest and a script as a person would write them, started by a deposit whose reference is the
//! workflow's name. What it waits for is another deposit, whose reference names the first: see
//! [`RandomWorkflow::calls`].

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::base::money::{Currency, Money};

/// A workflow nobody thought of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RandomWorkflow {
    /// Its name, and the reference of the deposits that start it.
    pub(super) name: String,
    pub(super) manifest: String,
    pub(super) script: String,
    /// What each run moves: no more, no less.
    pub(super) movements: Vec<Movement>,
    /// How many events each run waits for.
    pub(super) waits: usize,
    /// How often each run comes by what is worth counting.
    pub(super) forms: BTreeMap<Form, usize>,
}

impl RandomWorkflow {
    /// The references of the deposits a run waits for, by the deposit that started it.
    pub(super) fn calls(&self, deposit: &str) -> impl Iterator<Item = String> {
        (0..self.waits).map(move |number| format!("CALL {number} {deposit}"))
    }
}

/// One movement of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Movement {
    /// As the bank's ledger calls it.
    pub(super) kind: &'static str,
    /// How much; none for all that the deposit brought.
    pub(super) amount: Option<Money>,
}

/// What a workflow may be made of, beside payments one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// A person is asked.
    Approval,
    /// A branch of a `parallel`.
    Branch,
    /// An event is waited for.
    Event,
    /// A balance is swept.
    Sweep,
    /// A currency is sold.
    Conversion,
}

impl Form {
    /// Every one; a site has each of them.
    pub const ALL: [Self; 5] = [Self::Approval, Self::Branch, Self::Event, Self::Sweep, Self::Conversion];

    /// What so many of it are called.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Approval => "approvals",
            Self::Branch => "branches",
            Self::Event => "events waited for",
            Self::Sweep => "sweeps",
            Self::Conversion => "conversions",
        }
    }
}

/// Whom payments go to.
const PAYEES: &[(&str, &str)] = &[
    ("Kaffeerösterei Nord GmbH", "DE02120300000000202051"),
    ("Atelier Lumière SARL", "FR1420041010050500013M02606"),
    ("Bicicletas Sol SL", "ES9121000418450200051332"),
];
/// Where the money comes from: the treasury account of the simulated company.
const TREASURY: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
/// An account of the company with nothing on it.
const EMPTY: &str = "5f0c1a52-7a0e-4d57-9c1b-6f3d2b8e4a10";
/// Where it keeps dollars. The demo leaves the id to the seed.
pub(super) const DOLLARS: &str = "0d6a2c9e-41b7-4f7e-9a53-2be1f0c4d8a7";
/// Statements of a script.
const STATEMENTS_MAX: usize = 4;
/// How many kinds of statement there are.
const KINDS: u8 = 18;

/// Draws one.
pub(super) fn draw(random: &mut Rng, number: usize) -> RandomWorkflow {
    let name = format!("random-{number}");
    let mut script = Script::default();
    script.payout(random, 700);
    // Each has to be there once at least, whatever is drawn.
    if let Some(form) = Form::ALL.get(number) {
        script.form(random, *form);
    }
    for _ in 0..random.usize(1..=STATEMENTS_MAX) {
        script.statement(random);
    }
    let manifest = format!(
        "name    = \"{name}\"\nsummary = \"Nobody thought of it.\"\nscript  = \"{name}.rhai\"\nuses    = [\"bank\"]\n\n\
         [[trigger]]\ntype       = \"webhook\"\nconnection = \"bank\"\nevents     = [\"deposit.received\"]\n\
         when       = {{ \"/payload/bank_statement_reference\" = \"{name}\" }}\n"
    );
    RandomWorkflow {
        name,
        manifest,
        script: script.text,
        movements: script.movements,
        waits: script.waits,
        forms: script.forms,
    }
}

#[derive(Default)]
struct Script {
    text: String,
    movements: Vec<Movement>,
    waits: usize,
    forms: BTreeMap<Form, usize>,
    /// A deposit can be returned once.
    returned: bool,
    names: usize,
}

impl Script {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// So much is paid, in cents.
    fn pays(&mut self, cents: impl IntoIterator<Item = i64>) {
        let payouts = cents.into_iter().map(|cents| Movement {
            kind: "payout",
            amount: Some(euros(cents)),
        });
        self.movements.extend(payouts);
    }

    fn has(&mut self, form: Form, times: usize) {
        *self.forms.entry(form).or_default() += times;
    }

    fn payout(&mut self, random: &mut Rng, cents: i64) {
        let call = pay(random, &text(cents));
        self.line(&format!("{call};"));
        self.pays([cents]);
    }

    fn form(&mut self, random: &mut Rng, form: Form) {
        match form {
            Form::Approval => {
                let line = approval(random);
                self.line(&format!("{line};"));
                self.has(Form::Approval, 1);
            }
            Form::Branch => self.branches(random),
            Form::Event => {
                let wait = self.wait();
                self.line(&format!("{wait};"));
            }
            Form::Sweep => self.sweep(random),
            Form::Conversion => self.conversion(random),
        }
    }

    /// A wait for the next deposit that names the one of the run. It may have come before the run began.
    fn wait(&mut self) -> String {
        let number = self.waits;
        self.waits += 1;
        self.has(Form::Event, 1);
        format!(
            "bank::wait_event(#{{ type: \"deposit.received\", since: now() - hours(1), timeout: \"1h\", \
             matching: #{{ \"/payload/bank_statement_reference\": `CALL {number} ${{event.payload.id}}` }} }})"
        )
    }

    /// Two to six branches: each pays, and some of them wait first or after, for time, an event or a person.
    fn branches(&mut self, random: &mut Rng) {
        let count = random.i64(2..=6);
        let name = self.name();
        let call = pay(random, "EUR(n)");
        self.line(&format!(
            "let {name} = parallel({:?}, #{{ branches: {} }}, |n| {{",
            Vec::from_iter(1..=count),
            random.u8(1..=6)
        ));
        // The branch of one of the numbers waits as well.
        let which = random.i64(1..=count);
        let wait = match random.u8(0..4) {
            0 => self.wait(),
            1 => "sleep(\"1s\")".to_owned(),
            2 => {
                self.has(Form::Approval, 1);
                approval(random)
            }
            _ => "uuid()".to_owned(),
        };
        let first = random.bool();
        if first {
            self.line(&format!("    if n == {which} {{ {wait}; }}"));
        }
        self.line(&format!("    let paid = {call};"));
        if !first {
            self.line(&format!("    if n == {which} {{ {wait}; }}"));
        }
        if random.bool() {
            self.line("    bank::settled(paid, \"1h\");");
        }
        self.line("    n");
        self.line("});");
        self.line(&format!(
            "for branch in {name} {{ if !branch.ok {{ throw branch.error.message; }} }}"
        ));
        self.pays((1..=count).map(|n| n * 100));
        self.has(Form::Branch, usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// Its account is deeper than all sweeps together, so that its limits decide how much moves; or it is empty.
    fn sweep(&mut self, random: &mut Rng) {
        self.has(Form::Sweep, 1);
        let multiple = random.i64(1..=5);
        let most = random.i64(multiple..60);
        let (from, moves) = if random.u8(0..4) == 0 {
            (EMPTY, 0)
        } else {
            (TREASURY, most / multiple * multiple)
        };
        let (name, to) = (self.name(), payee(random));
        self.line(&format!(
            "let {name} = bank::sweep(#{{ from: \"{from}\", to: {to}, keep: EUR(1_000), maximum: EUR({most}), \
             multiple: EUR({multiple}), reference: `SWEEP ${{run.workflow}}` }});"
        ));
        self.line(&format!(
            "if {name}.moved != EUR({moves}) {{ throw `moved ${{{name}.moved}}: ${{{name}.reason}}`; }}"
        ));
        if moves > 0 {
            self.pays([moves * 100]);
        }
    }

    /// Sells so much, however it is said.
    fn conversion(&mut self, random: &mut Rng) {
        self.has(Form::Conversion, 1);
        let cents = random.i64(1_000..9_000);
        let amount = text(cents);
        let what = match random.u8(0..3) {
            0 => format!("amount: {amount}"),
            1 => format!("above: EUR(1_000), maximum: {amount}"),
            _ => format!("amount: {amount}, max_slippage: 0.05"),
        };
        let name = self.name();
        self.line(&format!(
            "let {name} = bank::convert(#{{ from: \"{TREASURY}\", to: \"{DOLLARS}\", {what} }});"
        ));
        self.line(&format!(
            "if {name}.moved != {amount} {{ throw `sold ${{{name}.moved}}: ${{{name}.reason}}`; }}"
        ));
        if random.bool() {
            self.line(&format!("bank::settled({name}.conversion, \"1h\");"));
        }
        self.movements.push(Movement {
            kind: "conversion",
            amount: Some(euros(cents)),
        });
    }

    fn statement(&mut self, random: &mut Rng) {
        let cents = random.i64(100..9_000);
        let name = self.name();
        match random.u8(0..KINDS) {
            0 => self.payout(random, cents),
            1 => {
                let times = random.i64(1..4);
                let call = pay(random, "EUR(1 + n)");
                self.line(&format!("for n in 0..{times} {{ {call}; }}"));
                self.pays((0..times).map(|n| (1 + n) * 100));
            }
            2 => {
                let call = pay(random, "EUR(n)");
                self.line(&format!("[3, 5].for_each(|n| {{ {call}; }});"));
                self.pays([300, 500]);
            }
            3 => {
                let call = pay(random, &text(cents));
                self.line(&format!("let {name} = {call};"));
                self.line(&format!("bank::settled({name}, \"1h\");"));
                self.pays([cents]);
            }
            4 => self.split(random, &name),
            5 => self.line("sleep(\"1s\");"),
            6 => {
                let call = pay(random, "EUR(0)");
                self.line(&format!(
                    "try {{ {call}; throw \"paid nothing\"; }} catch (e) {{ log::info(`refused: ${{e.error}}`); }}"
                ));
            }
            7 => self.line(&format!(
                "let {name} = bank::balance(\"{TREASURY}\"); log::info(`${{{name}}}`);"
            )),
            8 => self.line("state::set(\"count\", (state::get(\"count\") ?? 0) + 1);"),
            9 => self.form(random, Form::Approval),
            10 if !self.returned => {
                self.returned = true;
                self.line("bank::return_deposit(event.payload.id, #{ reason: \"chance\" });");
                self.movements.push(Movement {
                    kind: "return",
                    amount: None,
                });
            }
            11 | 12 => self.branches(random),
            13 | 14 => self.form(random, Form::Event),
            15 => self.sweep(random),
            16 => self.conversion(random),
            _ => self.line(&format!("let {name} = [uuid(), now()];")),
        }
    }

    /// Whole percents of whole euros: what each part gets needs no rounding.
    fn split(&mut self, random: &mut Rng, name: &str) {
        let (one, two) = (payee(random), payee(random));
        let (total, percent) = (random.i64(2..90), random.i64(20..60));
        self.line(&format!(
            "let {name} = bank::split(#{{ from: \"{TREASURY}\", total: EUR({total}), reference: \"PARTS\", parts: ["
        ));
        self.line(&format!("    #{{ name: \"one\", to: {one}, percent: {percent} }},"));
        self.line(&format!("    #{{ name: \"two\", to: {two}, rest: true }},"));
        self.line("] });");
        self.line(&format!("if !{name}.complete {{ throw \"a part was not paid\"; }}"));
        self.pays([total * percent, total * (100 - percent)]);
    }
}

fn euros(cents: i64) -> Money {
    let euro = Currency::from_code("EUR").expect("it exists");
    Money::from_minor(i128::from(cents), euro).expect("it is little")
}

/// So many cents as a script says it.
fn text(cents: i64) -> String {
    format!("EUR({}.{:02})", cents / 100, cents % 100)
}

fn pay(random: &mut Rng, amount: &str) -> String {
    let to = payee(random);
    format!(
        "bank::payout(#{{ from: \"{TREASURY}\", to: {to}, amount: {amount}, reference: `RANDOM ${{run.workflow}}` }})"
    )
}

fn approval(random: &mut Rng) -> String {
    format!(
        "approval(#{{ reason: \"chance {}\", details: #{{ amount: EUR(1) }} }})",
        random.u8(..)
    )
}

fn payee(random: &mut Rng) -> String {
    let (name, iban) = PAYEES[random.usize(..PAYEES.len())];
    format!("#{{ type: \"iban\", iban: \"{iban}\", account_holder_name: \"{name}\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_workflows() {
        let draw_all = |seed| {
            let mut random = Rng::with_seed(seed);
            (0..20).map(|number| draw(&mut random, number)).collect::<Vec<_>>()
        };
        assert_eq!(draw_all(7), draw_all(7));
        assert_ne!(draw_all(7), draw_all(8));
        assert!(draw_all(7).iter().all(|workflow| !workflow.movements.is_empty()));
    }

    #[test]
    fn a_site_has_a_workflow_of_every_form() {
        let mut random = Rng::with_seed(fastrand::u64(..));
        for (number, form) in Form::ALL.into_iter().enumerate() {
            let workflow = draw(&mut random, number);
            assert!(workflow.forms.contains_key(&form), "{workflow:?}");
        }
    }
}
