//! The events just admitted, kept in memory until they are routed, so that the router need not read them back.
//!
//! Bounded; what does not fit is read from the file. Holds only what is committed. It must never stand for the file
//! where it is not complete: it knows from which mark on it is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::event::Event;
use crate::model::run::EventMark;
use crate::store::Unrouted;

/// Events kept at most.
const EVENTS_MAX: usize = 8_192;
/// Their payloads together, as text: what comes in a pause of the router, at a high rate.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A committed event.
pub(super) struct Fresh {
    pub(super) mark: i64,
    pub(super) event: Arc<Event>,
    pub(super) bytes: usize,
}

#[derive(Default)]
struct Kept {
    /// Everything up to here was routed.
    cursor: i64,
    /// Every event after this one is here.
    complete_after: i64,
    events: VecDeque<Fresh>,
    bytes: usize,
}

/// Shared by the writer, which fills it, and whoever asks for events to route.
#[derive(Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tail")
    }
}

impl Tail {
    /// One that has nothing of what was there before.
    pub(super) fn new(cursor: i64, last_mark: i64) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            cursor,
            complete_after: last_mark,
            ..Kept::default()
        })))
    }

    /// Takes note of a commit: its events, in order, and where the cursor stands now.
    pub(super) fn committed(&self, fresh: impl IntoIterator<Item = Fresh>, cursor: i64) {
        let mut kept = self.lock();
        for event in fresh {
            kept.bytes += event.bytes;
            kept.events.push_back(event);
        }
        kept.cursor = cursor;
        while let Some(first) = kept.events.front() {
            let routed = first.mark <= cursor;
            if !routed && kept.events.len() <= EVENTS_MAX && kept.bytes <= BYTES_MAX {
                break;
            }
            let (mark, bytes) = (first.mark, first.bytes);
            kept.complete_after = mark;
            kept.bytes -= bytes;
            kept.events.pop_front();
        }
    }

    /// What is to be routed next, or nothing if the file has to be asked.
    pub(super) fn unrouted(&self, limit: u32, bytes_max: usize) -> Option<Unrouted> {
        let kept = self.lock();
        if kept.complete_after > kept.cursor {
            return None;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut events = Vec::with_capacity(limit.min(kept.events.len()));
        let mut bytes = 0;
        for fresh in kept.events.iter().take(limit) {
            bytes += fresh.bytes;
            events.push((EventMark(fresh.mark), Ok(Arc::clone(&fresh.event))));
            if bytes >= bytes_max {
                break;
            }
        }
        Some(Unrouted {
            after: EventMark(kept.cursor),
            events,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
