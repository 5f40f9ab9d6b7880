//! Lists and maps in scripts: the functions that call closures, in place of the standard ones.
//!
//! The standard ones make every error of a closure catchable, swallow those of comparers, and hand
//! `for_each` the index instead of the item. Sorting is in `sorting.rs`.

use rhai::{Array, Dynamic, FnPtr, Map as RhaiMap, Module, NativeCallContext};

use super::callback::{Callback, index};
use super::fault::{Native, fault};
use super::register::{changes, reads};

/// Adds the functions that call closures to the standard functions.
pub(super) fn register(module: &mut Module) {
    mapping(module);
    searching(module);
    folding(module);
    removing(module);
    maps(module);
    by_name(module);
}

fn mapping(module: &mut Module) {
    reads(
        module,
        "map",
        |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<Array> {
            let callback = Callback::new(&context, &f, "map");
            let items = list.iter_mut().enumerate();
            items.map(|(at, item)| callback.call(&[], item, &index(at))).collect()
        },
    );
    reads(
        module,
        "filter",
        |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<Array> {
            let callback = Callback::new(&context, &f, "filter");
            let mut kept = Array::new();
            for (at, item) in list.iter_mut().enumerate() {
                if callback.holds(&[], item, &index(at))? {
                    kept.push(item.clone());
                }
            }
            Ok(kept)
        },
    );
    reads(
        module,
        "for_each",
        |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<()> {
            let callback = Callback::new(&context, &f, "for_each");
            let mut items = list.iter_mut().enumerate();
            items.try_for_each(|(at, item)| callback.call(&[], item, &index(at)).map(drop))
        },
    );
    reads(
        module,
        "zip",
        |context: NativeCallContext, list: &mut Array, other: Array, f: FnPtr| -> Native<Array> {
            let callback = Callback::new(&context, &f, "zip");
            let pairs = list.iter().zip(other).enumerate();
            pairs
                .map(|(at, (left, mut right))| callback.call(std::slice::from_ref(left), &mut right, &index(at)))
                .collect()
        },
    );
}

/// The position of the first item, from `start` on, for which the closure holds.
fn position(callback: &Callback<'_>, list: &mut Array, start: i64) -> Native<Option<usize>> {
    let start = from_end(start, list.len());
    for (at, item) in list.iter_mut().enumerate().skip(start) {
        if callback.holds(&[], item, &index(at))? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// A position that counts from the end when it is negative.
fn from_end(position: i64, length: usize) -> usize {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 {
        length.saturating_sub(distance)
    } else {
        distance
    }
}

fn searching(module: &mut Module) {
    let find = |context: &NativeCallContext<'_>, list: &mut Array, f: &FnPtr, start: i64| -> Native<Dynamic> {
        let found = position(&Callback::new(context, f, "find"), list, start)?;
        Ok(found.and_then(|at| list.get(at).cloned()).unwrap_or(Dynamic::UNIT))
    };
    reads(
        module,
        "find",
        move |context: NativeCallContext, list: &mut Array, f: FnPtr| find(&context, list, &f, 0),
    );
    reads(
        module,
        "find",
        move |context: NativeCallContext, list: &mut Array, f: FnPtr, start: i64| find(&context, list, &f, start),
    );
    let index_of = |context: &NativeCallContext<'_>, list: &mut Array, f: &FnPtr, start: i64| -> Native<i64> {
        let found = position(&Callback::new(context, f, "index_of"), list, start)?;
        Ok(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
    };
    reads(
        module,
        "index_of",
        move |context: NativeCallContext, list: &mut Array, f: FnPtr| index_of(&context, list, &f, 0),
    );
    reads(
        module,
        "index_of",
        move |context: NativeCallContext, list: &mut Array, f: FnPtr, start: i64| index_of(&context, list, &f, start),
    );
    let find_map = |context: &NativeCallContext<'_>, list: &mut Array, f: &FnPtr, start: i64| -> Native<Dynamic> {
        let callback = Callback::new(context, f, "find_map");
        let start = from_end(start, list.len());
        for (at, item) in list.iter_mut().enumerate().skip(start) {
            let found = callback.call(&[], item, &index(at))?;
            if !found.is_unit() {
                return Ok(found);
            }
        }
        Ok(Dynamic::UNIT)
    };
    reads(
        module,
        "find_map",
        move |context: NativeCallContext, list: &mut Array, f: FnPtr| find_map(&context, list, &f, 0),
    );
    reads(
        module,
        "find_map",
        move |context: NativeCallContext, list: &mut Array, f: FnPtr, start: i64| find_map(&context, list, &f, start),
    );
    reads(
        module,
        "some",
        |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<bool> {
            Ok(position(&Callback::new(&context, &f, "some"), list, 0)?.is_some())
        },
    );
    reads(
        module,
        "all",
        |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<bool> {
            let callback = Callback::new(&context, &f, "all");
            for (at, item) in list.iter_mut().enumerate() {
                if !callback.holds(&[], item, &index(at))? {
                    return Ok(false);
                }
            }
            Ok(true)
        },
    );
}

fn folding(module: &mut Module) {
    for (name, backwards) in [("reduce", false), ("reduce_rev", true)] {
        let fold = move |context: &NativeCallContext<'_>, list: &mut Array, f: &FnPtr, first: Dynamic| {
            let callback = Callback::new(context, f, name);
            let mut items: Vec<_> = list.iter_mut().enumerate().collect();
            if backwards {
                items.reverse();
            }
            items
                .into_iter()
                .try_fold(first, |so_far, (at, item)| callback.call(&[so_far], item, &index(at)))
        };
        reads(
            module,
            name,
            move |context: NativeCallContext, list: &mut Array, f: FnPtr| fold(&context, list, &f, Dynamic::UNIT),
        );
        reads(
            module,
            name,
            move |context: NativeCallContext, list: &mut Array, f: FnPtr, first: Dynamic| {
                fold(&context, list, &f, first)
            },
        );
    }
}

/// Takes the items out for which the closure answers `wanted`. If it fails, the list stays as it was.
fn take_out(callback: &Callback<'_>, list: &mut Array, wanted: bool) -> Native<Array> {
    let mut taken = Array::new();
    let mut kept = Array::new();
    for (at, item) in list.clone().into_iter().enumerate() {
        let mut item = item;
        if callback.holds(&[], &mut item, &index(at))? == wanted {
            taken.push(item);
        } else {
            kept.push(item);
        }
    }
    *list = kept;
    Ok(taken)
}

fn take_out_of_map(callback: &Callback<'_>, map: &mut RhaiMap, wanted: bool) -> Native<RhaiMap> {
    let mut taken = RhaiMap::new();
    let mut kept = RhaiMap::new();
    for (key, item) in map.clone() {
        let mut item = item;
        if callback.holds(&[key.as_str().into()], &mut item, &Dynamic::UNIT)? == wanted {
            taken.insert(key, item);
        } else {
            kept.insert(key, item);
        }
    }
    *map = kept;
    Ok(taken)
}

fn removing(module: &mut Module) {
    for (name, wanted) in [("drain", true), ("retain", false)] {
        changes(
            module,
            name,
            move |context: NativeCallContext, list: &mut Array, f: FnPtr| {
                take_out(&Callback::new(&context, &f, name), list, wanted)
            },
        );
        changes(
            module,
            name,
            move |context: NativeCallContext, map: &mut RhaiMap, f: FnPtr| {
                take_out_of_map(&Callback::new(&context, &f, name), map, wanted)
            },
        );
    }
}

fn maps(module: &mut Module) {
    reads(
        module,
        "map",
        |context: NativeCallContext, map: &mut RhaiMap, f: FnPtr| -> Native<RhaiMap> {
            let callback = Callback::new(&context, &f, "map");
            map.iter_mut()
                .map(|(key, item)| {
                    Ok((
                        key.clone(),
                        callback.call(&[key.as_str().into()], item, &Dynamic::UNIT)?,
                    ))
                })
                .collect()
        },
    );
    reads(
        module,
        "filter",
        |context: NativeCallContext, map: &mut RhaiMap, f: FnPtr| {
            take_out_of_map(&Callback::new(&context, &f, "filter"), &mut map.clone(), true)
        },
    );
}

/// The standard functions also take the name of a function as text, by old ways that swallow errors.
/// Those are refused, but for `index_of`, where a text is what is looked for.
fn by_name(module: &mut Module) {
    let refuse = |caller: &str, name: &str| {
        fault(
            "type",
            format!("give `{caller}` a function, not text: write Fn(\"{name}\") or a closure"),
        )
    };
    for caller in [
        "map",
        "filter",
        "some",
        "all",
        "dedup",
        "reduce",
        "reduce_rev",
        "sort",
        "drain",
        "retain",
    ] {
        reads(module, caller, move |_: &mut Array, name: &str| -> Native<()> {
            Err(refuse(caller, name))
        });
    }
    for caller in ["reduce", "reduce_rev"] {
        reads(
            module,
            caller,
            move |_: &mut Array, name: &str, _: Dynamic| -> Native<()> { Err(refuse(caller, name)) },
        );
    }
    let index_of = |list: &Array, text: &str, start: i64| {
        let start = from_end(start, list.len());
        let is_it = |item: &Dynamic| item.as_immutable_string_ref().is_ok_and(|item| item.as_str() == text);
        let found = list.iter().enumerate().skip(start).find(|(_, item)| is_it(item));
        found.and_then(|(at, _)| i64::try_from(at).ok()).unwrap_or(-1)
    };
    reads(module, "index_of", move |list: &mut Array, text: &str| {
        index_of(list, text, 0)
    });
    reads(module, "index_of", move |list: &mut Array, text: &str, start: i64| {
        index_of(list, text, start)
    });
}
