//! The rig: a host that records what scripts make it do, and one call to run a script on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::base::clock::{Clock, ManualClock, SystemClock};
use bursar::model::journal::Failure;
use bursar::model::value::Value;
use bursar::model::workflow::{Source, Version};
use bursar::script::{Body, Budget, Function, Globals, Host, Interpreter, Ran, Site, Thrown, spawn_script_thread};

/// A host that knows what happened.
#[derive(Default)]
pub(crate) struct Rig {
    interrupted: AtomicBool,
    /// Every effect, in order.
    pub(crate) effects: Mutex<Vec<String>>,
    /// Every place a call came from.
    pub(crate) sites: Mutex<Vec<Site>>,
    /// A clock moved by `wait_outside`, if the test has one.
    clock: Option<ManualClock>,
    waited: Mutex<Duration>,
}

impl Host for Rig {
    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn waited(&self) -> Duration {
        *self.waited.lock().unwrap()
    }
}

impl Rig {
    /// Ends the turn from outside.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }
}

type Answer = Result<Value, Thrown>;

fn function(
    module: Option<&str>,
    name: &str,
    arity: std::ops::RangeInclusive<usize>,
    body: impl Fn(&Arc<Rig>, Site, &[Value]) -> Answer + Send + Sync + 'static,
) -> Function<Rig> {
    Function {
        module: module.map(str::to_owned),
        name: name.to_owned(),
        arity,
        body: Body::Plain(Arc::new(body)),
    }
}

/// What the rig offers to scripts.
pub(crate) fn functions() -> Vec<Function<Rig>> {
    vec![
        function(None, "echo", 1..=1, |_, _, values| Ok(values[0].clone())),
        function(None, "count", 0..=3, |_, _, values| {
            Ok(Value::Int(i64::try_from(values.len()).unwrap()))
        }),
        function(None, "effect", 1..=1, |rig, site, values| {
            rig.effects.lock().unwrap().push(values[0].to_string());
            rig.sites.lock().unwrap().push(site);
            Ok(values[0].clone())
        }),
        function(None, "decline", 0..=0, |_, _, _| {
            Err(Thrown::Failure(Failure {
                code: "declined".to_owned(),
                message: "the bank said no".to_owned(),
                details: Value::map([("limit", Value::Int(5))]),
            }))
        }),
        function(None, "suspend", 0..=1, |rig, _, _| {
            rig.interrupted.store(true, Ordering::Relaxed);
            Err(Thrown::Interrupt)
        }),
        function(None, "interrupt_quietly", 0..=0, |rig, _, _| {
            rig.interrupt();
            Ok(Value::Null)
        }),
        function(None, "interrupt_once", 0..=0, |_, _, _| Err(Thrown::Interrupt)),
        function(None, "wait_outside", 0..=0, |rig, _, _| {
            rig.clock.as_ref().unwrap().advance(Duration::from_secs(3_600));
            *rig.waited.lock().unwrap() += Duration::from_secs(3_600);
            Ok(Value::Null)
        }),
        function(None, "pass_time", 1..=1, |rig, _, values| {
            let Value::Int(millis) = values[0] else {
                panic!("a number")
            };
            rig.clock
                .as_ref()
                .unwrap()
                .advance(Duration::from_millis(u64::try_from(millis).unwrap()));
            Ok(Value::Null)
        }),
        function(None, "big", 1..=1, |_, _, values| {
            let Value::Int(bytes) = values[0] else {
                panic!("a number")
            };
            Ok(Value::text("x".repeat(usize::try_from(bytes).unwrap())))
        }),
        function(None, "hoard", 1..=1, |rig, _, values| {
            let Value::Int(bytes) = values[0] else {
                panic!("a number")
            };
            let kept = "x".repeat(usize::try_from(bytes).unwrap());
            rig.effects.lock().unwrap().push(kept);
            Ok(Value::Null)
        }),
        function(None, "explode", 0..=0, |_, _, _| panic!("a bug in a host function")),
        function(Some("bank"), "balance", 1..=1, |_, _, values| {
            Ok(Value::map([("of", values[0].clone())]))
        }),
        function(Some("hub"), "balance", 1..=1, |_, _, _| Ok(Value::Null)),
        function(Some("log"), "info", 1..=1, |rig, _, values| {
            rig.effects.lock().unwrap().push(format!("log {}", values[0]));
            Ok(Value::Null)
        }),
    ]
}

/// A version of these files, the first one being main; it uses `bank`.
pub(crate) fn version(files: &[(&str, &str)]) -> Version {
    let sources = files
        .iter()
        .map(|(path, text)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    Version::new("test".to_owned(), String::new(), vec!["bank".to_owned()], sources)
}

/// Constants with something in each.
pub(crate) fn globals() -> Globals {
    Globals {
        event: Value::map([
            ("type", Value::text("deposit.received")),
            (
                "payload",
                Value::map([
                    ("amount", Value::text("12.50")),
                    ("lines", Value::List(vec![Value::Int(1), Value::Int(2)])),
                ]),
            ),
        ]),
        params: Value::map([("buffer", Value::text("1000.00")), ("rate", Value::Int(3))]),
        run: Value::map([("id", Value::text("run_1")), ("last_success", Value::Null)]),
    }
}

/// Everything one run showed.
pub(crate) struct Shown {
    pub(crate) ran: Ran,
    pub(crate) effects: Vec<String>,
    pub(crate) sites: Vec<Site>,
}

/// Runs files on a script thread with a budget and a clock.
pub(crate) fn run_files(files: &[(&str, &str)], budget: Budget, clock: Option<ManualClock>) -> Shown {
    let version = version(files);
    spawn_script_thread("test script", move || {
        let rig = Arc::new(Rig {
            clock: clock.clone(),
            ..Rig::default()
        });
        let clock: Arc<dyn Clock> = match clock {
            Some(clock) => Arc::new(clock),
            None => Arc::new(SystemClock::new()),
        };
        let interpreter = Interpreter::new(&functions(), clock).with_common_modules(&["log"]);
        let ran = interpreter.run(&version, Arc::clone(&rig), globals(), budget);
        Shown {
            ran,
            effects: rig.effects.lock().unwrap().clone(),
            sites: rig.sites.lock().unwrap().clone(),
        }
    })
    .unwrap()
    .join()
    .unwrap()
}

/// A budget that only hostile scripts exceed, also in an unoptimised build on a busy machine.
pub(crate) fn roomy() -> Budget {
    Budget {
        compute: Duration::from_secs(60),
        ..Budget::default()
    }
}

/// Runs one script.
pub(crate) fn run(script: &str) -> Shown {
    run_files(&[("main.rhai", script)], roomy(), None)
}

/// The value a script ends with.
#[track_caller]
pub(crate) fn value_of(script: &str) -> Value {
    match run(script).ran {
        Ran::Finished(value) => value,
        other => panic!("{script}\ndid not finish: {other:?}"),
    }
}

/// The value of a script, as a person reads it.
#[track_caller]
pub(crate) fn check(script: &str, expected: &str) {
    assert_eq!(value_of(script).to_string(), expected, "{script}");
}

/// The code and message a script fails with.
#[track_caller]
pub(crate) fn check_fails(script: &str, code: &str, in_message: &str) {
    match run(script).ran {
        Ran::Failed(error) => {
            assert_eq!(error.code, code, "{script}: {}", error.message);
            assert!(error.message.contains(in_message), "{script}: {}", error.message);
        }
        other => panic!("{script}\ndid not fail: {other:?}"),
    }
}
