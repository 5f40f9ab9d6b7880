//! What tells a repeated call from a new one.

use super::endpoint::Check;
use crate::connector::table::{Connector, Effect, InDoubt, KEY_LENGTH, KeyPlace, Kind, Place, WHOLE_BODY};
use crate::model::document::Document;

/// The keys of the whole table.
pub(super) fn idempotency(connector: &Connector, source: &mut Document<'_>) {
    let Some(table) = &connector.idempotency else { return };
    let mut wrong = |key: &str, message: &str| {
        source.wrong(&["idempotency", key], message);
    };
    if table.methods.is_empty() {
        wrong("methods", "no method takes the key");
    }
    if table.window_secs == 0 {
        wrong("window_secs", "a key that protects for no time is none");
    }
    if table.window_max_secs.is_some_and(|most| most < table.window_secs) {
        wrong("window_max_secs", "`window_secs` is above it");
    }
    if table.min_length > KEY_LENGTH {
        wrong(
            "min_length",
            &format!("the keys of bursar are {KEY_LENGTH} characters long"),
        );
    }
    if table.max_length < KEY_LENGTH {
        wrong(
            "max_length",
            &format!("the keys of bursar are {KEY_LENGTH} characters long"),
        );
    }
}

impl Check<'_, '_, '_> {
    pub(super) fn key(&mut self) {
        let endpoint = self.endpoint;
        if endpoint.effect == Effect::Read {
            if endpoint.key_said.is_some() || endpoint.same_twice || endpoint.look_first {
                self.wrong(
                    &[],
                    "a read is simply repeated: it has no key, no `same_twice` and no `look_first`",
                );
            }
            return;
        }
        if endpoint.look_first && endpoint.lookup.is_none() {
            self.wrong(&["look_first"], "there is no `lookup` to say how");
        }
        if endpoint.same_twice && endpoint.effect == Effect::MovesMoney {
            self.wrong(&["same_twice"], "money that is moved twice is not moved once");
        }
        if endpoint.in_doubt == InDoubt::Repeat && !endpoint.key.protects() && !endpoint.same_twice {
            let method = endpoint.method.as_str();
            self.wrong(
                &["in_doubt"],
                format!(
                    "it cannot be repeated: it has no key and [idempotency] names none for {method}, so it could happen twice"
                ),
            );
        }
        for (field, at) in &endpoint.echo.same {
            self.need_param(&["echo", "same"], field);
            self.pointer(&["echo", "same"], Some(at).filter(|at| !at.is_empty()));
        }
        match &endpoint.key {
            KeyPlace::Header | KeyPlace::None => {}
            KeyPlace::Field(place) => {
                if place.window_secs == 0 {
                    self.wrong(&["key"], "a key that protects for no time is none");
                }
                self.key_field(&place.field);
            }
            KeyPlace::Natural(key) => {
                if let Some(param) = self.need_param(&["key"], &key.natural)
                    && !(param.required && matches!(param.kind, Kind::Text | Kind::Uuid))
                {
                    let message = format!(
                        "`{}` has to be a required text: without it nothing tells two calls apart",
                        param.name
                    );
                    self.wrong(&["key"], message);
                }
                if endpoint.echo.same.is_empty() {
                    self.wrong(
                        &["key"],
                        "the provider answers with what it has under the number, whoever put it there: `echo.same` has to say what must be as it was sent",
                    );
                }
            }
        }
    }

    /// A key in the body: nothing else may stand where it does, or around it.
    fn key_field(&mut self, field: &str) {
        if field.split('.').any(str::is_empty) {
            self.wrong(
                &["key"],
                format!("`{field}` leads nowhere: a name stands on each side of a point"),
            );
        }
        let is_within = |inner: &str, outer: &str| {
            let rest = inner.strip_prefix(outer);
            outer == WHOLE_BODY || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut params = self.endpoint.params_in(Place::Body);
        let taken = params.find(|param| {
            let wire = param.wire_name();
            is_within(wire, field) || is_within(field, wire)
        });
        if let Some(other) = taken {
            self.wrong(&["key"], format!("`{}` stands where the key is to stand", other.name));
        }
    }
}
