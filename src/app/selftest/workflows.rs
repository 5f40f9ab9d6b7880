//! Random workflows that move money in a number of ways that is known before they run. Pure.
//!
//! Each is a manifest and a script as a person would write them, started by a deposit whose reference is the
//! workflow's name.

use fastrand::Rng;

/// A workflow nobody thought of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RandomWorkflow {
    /// Its name, and the reference of the deposits that start it.
    pub(super) name: String,
    pub(super) manifest: String,
    pub(super) script: String,
    /// How many movements each run makes: no more, no fewer.
    pub(super) movements: usize,
}

/// Whom payments go to.
const PAYEES: &[(&str, &str)] = &[
    ("Kaffeerösterei Nord GmbH", "DE02120300000000202051"),
    ("Atelier Lumière SARL", "FR1420041010050500013M02606"),
    ("Bicicletas Sol SL", "ES9121000418450200051332"),
];
/// Where the money comes from: the treasury account of the simulated company.
const TREASURY: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
/// Statements of a script.
const STATEMENTS_MAX: usize = 4;

/// Draws one.
pub(super) fn draw(random: &mut Rng, number: usize) -> RandomWorkflow {
    let name = format!("random-{number}");
    let mut script = Script {
        text: String::new(),
        movements: 0,
        returned: false,
        names: 0,
    };
    script.payout(random, "EUR(7)");
    // One at least has to be there, so that a person has something to say.
    if number == 0 {
        script.approval(random);
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
    }
}

struct Script {
    text: String,
    movements: usize,
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

    fn call(random: &mut Rng, amount: &str) -> String {
        let to = payee(random);
        format!(
            "bank::payout(#{{ from: \"{TREASURY}\", to: {to}, amount: {amount}, reference: `RANDOM ${{run.workflow}}` }})"
        )
    }

    fn payout(&mut self, random: &mut Rng, amount: &str) {
        let call = Self::call(random, amount);
        self.line(&format!("{call};"));
        self.movements += 1;
    }

    fn approval(&mut self, random: &mut Rng) {
        self.line(&format!(
            "approval(#{{ reason: \"chance {}\", details: #{{ amount: EUR(1) }} }});",
            random.u8(..)
        ));
    }

    fn statement(&mut self, random: &mut Rng) {
        let cents = format!("EUR({}.{:02})", random.u32(1..90), random.u32(0..100));
        let name = self.name();
        match random.u8(0..12) {
            0 => self.payout(random, &cents),
            1 => {
                let times = random.usize(1..4);
                let call = Self::call(random, "EUR(1 + n)");
                self.line(&format!("for n in 0..{times} {{ {call}; }}"));
                self.movements += times;
            }
            2 => {
                let call = Self::call(random, "EUR(n)");
                self.line(&format!("[3, 5].for_each(|n| {{ {call}; }});"));
                self.movements += 2;
            }
            3 => {
                let call = Self::call(random, &cents);
                self.line(&format!("let {name} = {call};"));
                self.line(&format!("bank::settled({name}, \"1h\");"));
                self.movements += 1;
            }
            4 => {
                let (one, two) = (payee(random), payee(random));
                self.line(&format!(
                    "let {name} = bank::split(#{{ from: \"{TREASURY}\", total: {cents}, reference: \"PARTS\", parts: ["
                ));
                self.line(&format!(
                    "    #{{ name: \"one\", to: {one}, percent: {} }},",
                    random.u8(20..60)
                ));
                self.line(&format!("    #{{ name: \"two\", to: {two}, rest: true }},"));
                self.line("] });");
                self.line(&format!("if !{name}.complete {{ throw \"a part was not paid\"; }}"));
                self.movements += 2;
            }
            5 => self.line("sleep(\"1s\");"),
            6 => {
                let call = Self::call(random, "EUR(0)");
                self.line(&format!(
                    "try {{ {call}; throw \"paid nothing\"; }} catch (e) {{ log::info(`refused: ${{e.error}}`); }}"
                ));
            }
            7 => self.line(&format!(
                "let {name} = bank::balance(\"{TREASURY}\"); log::info(`${{{name}}}`);"
            )),
            8 => self.line("state::set(\"count\", (state::get(\"count\") ?? 0) + 1);"),
            9 => self.approval(random),
            10 if !self.returned => {
                self.returned = true;
                self.line("bank::return_deposit(event.payload.id, #{ reason: \"chance\" });");
                self.movements += 1;
            }
            _ => self.line(&format!("let {name} = [uuid(), now()];")),
        }
    }
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
        assert!(draw_all(7).iter().all(|workflow| workflow.movements > 0));
    }
}
