//! Registering native functions: the two kinds there are, in one place.
//!
//! A function that reads its receiver works on constants too; one that changes it does not.

use rhai::{FuncRegistration, Module, RhaiNativeFunc, Variant};

/// A function that changes nothing it is given: it may be called on constants.
pub(super) fn reads<A, const N: usize, const X: bool, R, const F: bool, B>(module: &mut Module, name: &str, body: B)
where
    A: 'static,
    R: Variant + Clone,
    B: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
{
    FuncRegistration::new(name)
        .with_purity(true)
        .set_into_module(module, body);
}

/// A method that changes its receiver: refused on constants.
pub(super) fn changes<A, const N: usize, const X: bool, R, const F: bool, B>(module: &mut Module, name: &str, body: B)
where
    A: 'static,
    R: Variant + Clone,
    B: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
{
    FuncRegistration::new(name)
        .with_purity(false)
        .set_into_module(module, body);
}
